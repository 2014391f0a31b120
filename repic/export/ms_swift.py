"""ms-swift: JSON lines of messages with `<image>`, for `swift rlhf` and `swift sft`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repic.export.chat import says_placeholder
from repic.export.target import TargetFacts
from repic.export.text_files import LineFiles

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="ms-swift's GRPO (`grpo/train.jsonl`) and SFT (`sft/train.jsonl`)",
    keeps="prompts, pictures, true answers (`sft/`), and `label`, from which a worker scores",
    loses="columns that no reward reads; rows of `sft/` without a known caption",
    tested="ms-swift loads every row and a picture of it (`make peers`)",
    use="ROOT_IMAGE_DIR=F swift rlhf --rlhf_type grpo --dataset F/grpo/train.jsonl "
    "--external_plugins PLUGIN --reward_funcs repic",
    pictures=("copy", "reference"),
    scored=True,
)


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `grpo/SPLIT.jsonl` and `sft/SPLIT.jsonl`."""
    with LineFiles(job.folder) as files:
        for chat in job.rows(says_placeholder):
            pictures = {"images": [picture.path for picture in chat.pictures]}
            row = {"messages": chat.flat_messages, **pictures, "label": chat.label}
            files.add(f"grpo/{chat.row['split']}", row)
            if chat.answer is not None:
                turns = [*chat.flat_messages, {"role": "assistant", "content": chat.answer}]
                files.add(f"sft/{chat.row['split']}", {"messages": turns, **pictures})
    return {}

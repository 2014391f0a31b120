"""OpenRLHF: JSON lines of a prompt with `<image>`, paths of pictures, and a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repic.export.chat import says_placeholder
from repic.export.target import TargetFacts
from repic.export.text_files import LineFiles

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="OpenRLHF's PPO and GRPO, started in the folder",
    keeps="prompts, pictures, and `label`, from which a worker scores",
    loses="columns that no reward reads; OpenRLHF strips spaces at both ends of each text block",
    tested="OpenRLHF's PromptDataset loads every row and a picture of it (`make peers`)",
    use="cd F && python -m openrlhf.cli.train_ppo_ray --data.prompt_dataset train.jsonl "
    "--data.input_key messages --data.label_key label --data.apply_chat_template",
    pictures=("copy", "reference"),
    scored=True,
)


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `SPLIT.jsonl`."""
    with LineFiles(job.folder) as files:
        for chat in job.rows(says_placeholder):
            record = {
                "messages": chat.flat_messages,
                "images": [picture.path for picture in chat.pictures],
                "label": chat.label,
                "datasource": f"repic/{chat.row['objective']}",
            }
            files.add(chat.row["split"], record)
    return {}

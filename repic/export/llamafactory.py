"""LLaMA-Factory: `dataset_info.json` and files in the form of ShareGPT, for SFT."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repic.export.chat import ChatRow, says_placeholder
from repic.export.target import TargetFacts
from repic.export.text_files import LineFiles

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="LLaMA-Factory's SFT, as the datasets `repic_train`, `repic_validation`, `repic_test`",
    keeps="prompts, pictures and true answers",
    loses="rows without a known caption; everything that rewards read",
    tested="LLaMA-Factory loads every row and a picture of it (`make peers`)",
    use="llamafactory-cli train --stage sft --dataset_dir F --media_dir F --dataset repic_train",
    pictures=("copy", "reference"),
)
NO_ANSWER = "its caption is not known, and this target holds true answers"
_INFO = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `SPLIT.jsonl`, and `dataset_info.json`, which names them."""
    with LineFiles(job.folder) as files:
        for chat in job.rows(_unfit):
            turns = [*chat.flat_messages, {"role": "assistant", "content": chat.answer}]
            images = [picture.path for picture in chat.pictures]
            files.add(chat.row["split"], {"messages": turns, "images": images})
    info = {f"repic_{name}": {"file_name": f"{name}.jsonl", **_INFO} for name in files.names}
    text = json.dumps(info, indent=2)
    (job.folder / "dataset_info.json").write_text(text + "\n", encoding="utf-8")
    return {}


def _unfit(chat: ChatRow) -> str | None:
    return NO_ANSWER if chat.answer is None else says_placeholder(chat)

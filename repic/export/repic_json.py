"""The records of RePIC's released training code, and ours in full beside them.

Its loader reads `data.yaml` (`--dataset_name F/data.yaml --image_root F`, started in the folder):
all pictures come first, then `problem`, to which it adds what form the answer has. It reads four
keys of a record; the key `example` is the whole row, so `repic import` loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from repic.export.chat import ChatRow
from repic.export.target import TargetFacts
from repic.export.text_files import LineFiles
from repic.images.coordinates import Box
from repic.objectives.base import Row
from repic.objectives.identify import KIND as WHICH
from repic.objectives.query_view import QueryView, box_in_view

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="RePIC's released training code, and `repic import --from repic-json`",
    keeps="pictures, questions and answers as that code reads them; every column, under `example`",
    loses="for us nothing; for that code rows where nobody is present and `which` rows (`other/`), "
    "absent names, where in the text a picture stands; boxes are whole pixels of the picture",
    tested="`repic import` gives the same content; our reader of released records reads all rows",
    use="repic import F --from repic-json --store store",
    pictures=("copy", "reference"),
)
EXAMPLE = "example"
"""Key of the whole row."""
OTHER = "other"
"""Folder of the rows that have no released form: nobody is present, or a box asks for a name."""


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `SPLIT.jsonl`, `other/SPLIT.jsonl`, and `data.yaml`, which names the split train."""
    with LineFiles(job.folder) as files:
        for chat in job.rows():
            row = chat.row if job.options.uris else without_uris(chat.row)
            folder = "" if (told := _told(chat)) else f"{OTHER}/"
            files.add(folder + row["split"], {**_images(chat), **told, EXAMPLE: row})
        names = [name for name in files.names if "/" not in name]
    used = "train" if "train" in names else next(iter(names), "train")
    text = yaml.safe_dump({"datasets": [{"json_path": f"{used}.jsonl"}]})
    (job.folder / "data.yaml").write_text(text, encoding="utf-8")
    return {}


def without_uris(row: Row) -> Row:
    """A row that does not tell where its photos are."""
    return {**row, "images": [{**picture, "uri": ""} for picture in row["images"]]}


def _images(chat: ChatRow) -> dict[str, Any]:
    paths = [picture.path for picture in chat.pictures]
    return {"image": paths[0] if len(paths) == 1 else paths}


def _told(chat: ChatRow) -> dict[str, Any]:
    """Question and answer of a row as the loader reads them; empty if it has no such question."""
    solution = _solution(chat.row)
    if solution is None:
        return {}
    blocks = [block for turn in chat.messages for block in turn["content"]]
    return {
        "problem": " ".join(block["text"] for block in blocks if block["type"] == "text"),
        "solution": solution[1],
        "accu_reward_method": solution[0],
    }


def _solution(row: Row) -> tuple[str, Any] | None:
    """`accu_reward_method` and `solution` of a row."""
    if row["objective"] == "oct":
        return "yes_no", row["answer"]
    if row["objective"] == "vlt":
        return "iou", _whole_pixels(row)
    present = [f"<{known['name']}>" for known in row["references"] if known["present"]]
    if row["objective"] != "ict" or row["kind"] == WHICH or not present:
        return None
    return ("yes_no_name", present[0]) if len(present) == 1 else ("yes_no_name_multi", present)


def _whole_pixels(row: Row) -> list[int]:
    """The box of a row in whole pixels of the picture that the model sees, at least one wide."""
    view, box = QueryView.of(row), box_in_view(row)
    x1, y1 = min(round(box.x1), view.width - 1), min(round(box.y1), view.height - 1)
    found = Box(x1, y1, max(round(box.x2), x1 + 1), max(round(box.y2), y1 + 1))
    return [int(value) for value in found.as_list()]

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
    loses="for that code: rows where nobody is present, `which` rows, absent names of mixed rows, "
    "where in the text a picture stands; boxes are whole pixels of the picture",
    tested="`repic import` gives the same content; our reader of released records reads all rows",
    use="repic import F --from repic-json --store store",
    pictures=("copy", "reference"),
)
NOBODY = "nobody is present, and the released reward is not defined there"
NO_FORM = "the released records have no question of this kind"
EXAMPLE = "example"
"""Key of the whole row."""


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `SPLIT.jsonl`, and `data.yaml` with the rows of train (or the first split)."""
    with LineFiles(job.folder) as files:
        for chat in job.rows():
            record = _record(chat)
            if isinstance(record, str):
                job.leave_out(chat.row, record)
                continue
            row = chat.row if job.options.uris else without_uris(chat.row)
            files.add(chat.row["split"], {**record, EXAMPLE: row})
        names = files.names
    used = "train" if "train" in names else next(iter(names), "train")
    text = yaml.safe_dump({"datasets": [{"json_path": f"{used}.jsonl"}]})
    (job.folder / "data.yaml").write_text(text, encoding="utf-8")
    return {}


def without_uris(row: Row) -> Row:
    """A row that does not tell where its photos are."""
    return {**row, "images": [{**picture, "uri": ""} for picture in row["images"]]}


def _record(chat: ChatRow) -> dict[str, Any] | str:
    """The record of a row, or why there is none."""
    solution = _solution(chat.row)
    if isinstance(solution, str):
        return solution
    method, value = solution
    paths = [picture.path for picture in chat.pictures]
    texts = [
        block["text"] for turn in chat.messages for block in turn["content"] if "text" in block
    ]
    return {
        "image": paths[0] if len(paths) == 1 else paths,
        "problem": " ".join(texts),
        "solution": value,
        "accu_reward_method": method,
    }


def _solution(row: Row) -> tuple[str, Any] | str:
    """`accu_reward_method` and `solution` of a row, or why it has none."""
    match row["objective"]:
        case "oct":
            return "yes_no", row["answer"]
        case "vlt":
            return "iou", _whole_pixels(row)
        case "ict" if row["kind"] != WHICH:
            present = [f"<{r['name']}>" for r in row["references"] if r["present"]]
            if not present:
                return NOBODY
            return (
                ("yes_no_name", present[0])
                if len(present) == 1
                else (
                    "yes_no_name_multi",
                    present,
                )
            )
    return NO_FORM


def _whole_pixels(row: Row) -> list[int]:
    """The box of a row in whole pixels of the picture that the model sees, at least one wide."""
    view, box = QueryView.of(row), box_in_view(row)
    x1, y1 = min(round(box.x1), view.width - 1), min(round(box.y1), view.height - 1)
    found = Box(x1, y1, max(round(box.x2), x1 + 1), max(round(box.y2), y1 + 1))
    return [int(value) for value in found.as_list()]

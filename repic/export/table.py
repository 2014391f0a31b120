"""CSV: a line for each row, for spreadsheets and quick looks."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from repic.export.target import TargetFacts
from repic.objectives.query_view import box_in_view

if TYPE_CHECKING:
    from repic.export.job import ExportJob

FACTS = TargetFacts(
    program="spreadsheets, pandas, DuckDB",
    keeps="prompt with `<image>`, true answer, names, box in pixels of the picture, paths",
    loses="scene, facts and everything else that rewards read",
    tested="DuckDB reads every row; paths lead to pictures",
    use="duckdb -c \"select objective, count(*) from 'F/examples.csv' group by all\"",
    pictures=("copy", "reference"),
)
COLUMNS = (
    *("example_id", "split", "objective", "kind", "prompt", "answer", "present", "absent"),
    *("x1", "y1", "x2", "y2", "query", "references"),
)


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `examples.csv`; several names or paths in a cell are separated by `;`."""
    with (job.folder / "examples.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        for chat in job.rows():
            row = chat.row
            named = [
                ";".join(r["name"] for r in row["references"] if r["present"] is present)
                for present in (True, False)
            ]
            box = box_in_view(row).as_list() if row["box"] else [None] * 4
            paths = [picture.path or "" for picture in chat.pictures]
            prompt = "\n".join(turn["content"] for turn in chat.flat_messages)
            head = (row[name] for name in COLUMNS[:4])
            lines.writerow(
                [*head, prompt, chat.answer, *named, *box, paths[-1], ";".join(paths[:-1])]
            )
    return {}

"""Examples: how many of which kind, why there are none, and some as a model gets to see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repic.config import SPLITS
from repic.objectives import OBJECTIVES
from repic.report.pictures import Shot
from repic.report.scenes import Frame
from repic.report.versions import Version

REFUSED = 8
"""Most reasons listed per objective."""
FEW = 10
"""Most layouts shown per objective: as many as ict has, so that a page has a known size."""
LIGHT = ("example_id", "objective", "kind", "split", "template_id", "references")
TITLES = {
    "oct": ("Object consistency", "Is the named object of the first picture in the second?"),
    "vlt": ("Visual localisation", "Where is what an expression points to? One box."),
    "ict": ("Identity captions", "Caption the last picture and use the names of what is in it."),
}


@dataclass(frozen=True)
class Turn:
    """A picture of a prompt with the boxes drawn on it, and the text that comes after it."""

    shot: Shot | None
    role: str
    frames: tuple[Frame, ...]
    text: str


@dataclass(frozen=True)
class Rendered:
    """An example, taken apart for the page; `row` has the columns of the table."""

    row: dict
    turns: tuple[Turn, ...]

    @property
    def answer(self) -> str:
        """The answer; a box is written in pixels, as the tables have it."""
        return _pixels(self.row["box"]) if self.row["answer"] == "{box}" else self.row["answer"]


@dataclass(frozen=True)
class Sentence:
    """A template as it was drawn: how often, and one text that came of it."""

    template: str
    count: int
    text: str


@dataclass(frozen=True)
class Objective:
    """What became of one objective.

    Attributes:
        counts: Kind -> split -> rows.
        total: Rows of all kinds, by split and, under the empty name, altogether.
        why: Why there are no rows, when that is known.
        refused: Reasons for which candidates were not used, the most frequent first.
    """

    name: str
    title: str
    says: str
    counts: Mapping[str, Mapping[str, int]]
    total: Mapping[str, int]
    why: str | None
    refused: tuple[tuple[str, int], ...]
    shown: tuple[Rendered, ...]
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Examples:
    """All that the page says of examples."""

    count: int
    splits: tuple[str, ...]
    objectives: tuple[Objective, ...]

    @property
    def shots(self) -> Iterator[Shot]:
        """Pictures in prompts."""
        for objective in self.objectives:
            for example in objective.shown:
                yield from (turn.shot for turn in example.turns if turn.shot)


def examples(version: Version) -> Examples:
    """Look through all examples of a version."""
    table = version.read("examples", LIGHT).sort_by("example_id")
    light = table.drop_columns("references").to_pylist()
    for row, informed in zip(light, _informed(table["references"]), strict=True):
        row["informed"] = informed
    notes = version.dataset.notes.get("examples", {})
    names = [*OBJECTIVES, *sorted({row["objective"] for row in light} - OBJECTIVES.keys())]
    splits = [*SPLITS, *sorted({row["split"] for row in light} - set(SPLITS))]
    return Examples(
        table.num_rows,
        tuple(splits),
        tuple(
            _objective(version, name, [r for r in light if r["objective"] == name], notes)
            for name in names
        ),
    )


def _informed(references: pa.ChunkedArray) -> list[bool]:
    """Whether any reference of a row comes with a text about it."""
    column = references.combine_chunks()
    texts = pc.struct_field(column.flatten(), "info")
    rows = pc.list_parent_indices(column).filter(pc.not_equal(texts, ""))
    informed = np.zeros(len(column), dtype=bool)
    informed[rows.to_numpy()] = True
    return informed.tolist()


def _objective(
    version: Version, name: str, rows: list[dict], notes: Mapping[str, Any]
) -> Objective:
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row["kind"], Counter())[row["split"]] += 1
    note = notes.get(name) or {}
    refused = sorted((note.get("refused") or {}).items(), key=lambda entry: (-entry[1], entry[0]))
    title, says = TITLES.get(name, (name, ""))
    return Objective(
        name,
        title,
        says,
        {kind: counts[kind] for kind in sorted(counts)},
        Counter(row["split"] for row in rows) + Counter({"": len(rows)}),
        note.get("why"),
        tuple(refused[:REFUSED]),
        _shown(version, rows),
        _sentences(version, rows),
    )


def _shown(version: Version, rows: list[dict]) -> tuple[Rendered, ...]:
    """One example of each kind, and another where references come with a text about them."""
    layouts: dict[tuple[str, bool], list[dict]] = {}
    for row in sorted(rows, key=lambda r: (r["split"] != "train", r["example_id"])):
        layouts.setdefault((row["kind"], row["informed"]), []).append(row)
    used: set[str] = set()
    chosen = []
    for layout in sorted(layouts)[:FEW]:
        unlike = (row for row in layouts[layout] if row["template_id"] not in used)
        row = next(unlike, layouts[layout][0])
        used.add(row["template_id"])
        chosen.append(row["example_id"])
    whole = {row["example_id"]: row for row in version.rows("examples", "example_id", chosen)}
    return tuple(Rendered(whole[i], tuple(_turns(whole[i]))) for i in chosen)


def _turns(row: dict) -> Iterator[Turn]:
    """The prompt picture by picture; a box in it is written in pixels, as the tables have it."""
    pictures = iter(row["images"])
    turn = Turn(None, "", (), "")
    for block in row["prompt"]:
        if block["type"] == "text":
            text = (
                block["text"].replace("{box}", _pixels(row["box"])) if row["box"] else block["text"]
            )
            turn = replace(turn, text=f"{turn.text}\n{text}".strip())
        elif picture := next(pictures, None):
            if turn.shot or turn.text:
                yield turn
            shot = Shot(picture["image_id"], picture["uri"], tuple(picture["crop"]))
            has_box = picture["role"] == "query" and row["box"] is not None
            frames = (Frame.of(row["box"], picture["crop"]),) if has_box else ()
            turn = Turn(shot, picture["role"], frames, "")
    yield turn


def _text(block: dict, row: dict) -> str:
    return block["text"].replace("{box}", _pixels(row["box"])) if row["box"] else block["text"]


def _pixels(box: list[float]) -> str:
    return "[{:.0f}, {:.0f}, {:.0f}, {:.0f}]".format(*box)


def _sentences(version: Version, rows: list[dict]) -> tuple[Sentence, ...]:
    drawn = Counter(row["template_id"] for row in rows)
    one_of = {row["template_id"]: row["example_id"] for row in reversed(rows)}
    texts = {
        row["template_id"]: _text(row["prompt"][-1], row)
        for row in version.rows("examples", "example_id", set(one_of.values()))
    }
    return tuple(Sentence(name, drawn[name], texts[name]) for name in sorted(drawn))

"""The section on examples: counts, reasons for missing ones, and prompts as a model sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repic.config import SPLITS
from repic.errors import RepicError
from repic.images.augmentation import Augmentation
from repic.objectives import in_order, objective_of
from repic.report.dataset import DatasetVersion
from repic.report.pictures import BoxOverlay, PagePicture

MAX_REASONS = 8
"""Reasons for unused candidates listed per objective."""
MAX_LAYOUTS = 10
"""Layouts shown per objective: as many as ICT has, which bounds the size of a page."""
COLUMNS = ("example_id", "objective", "kind", "split", "template_id", "references", "origin")


@dataclass(frozen=True)
class _PromptTurn:
    """A picture of a prompt with its boxes, and the text that follows it."""

    picture: PagePicture | None
    role: str
    overlays: tuple[BoxOverlay, ...]
    text: str


@dataclass(frozen=True)
class _RenderedExample:
    """An example split into turns; `row` has the columns of the table."""

    row: dict
    turns: tuple[_PromptTurn, ...]

    @property
    def answer(self) -> str:
        """The answer; a box is written in pixels, as in the tables."""
        return _pixels(self.row["box"]) if self.row["answer"] == "{box}" else self.row["answer"]


@dataclass(frozen=True)
class _TemplateUse:
    """How often a template was drawn, and one text made from it."""

    template: str
    count: int
    text: str


@dataclass(frozen=True)
class _ObjectiveSummary:
    """Examples of one objective.

    Attributes:
        counts: Kind -> split -> rows.
        total: Rows of all kinds by split; the total is under the empty name.
        why: Why there are no rows, if known.
        origins: Rows by origin of their references; none for VLT.
        refused: Reasons why candidates were not used, most frequent first.
        rendered: One example of each layout.
    """

    name: str
    title: str
    summary: str
    counts: Mapping[str, Mapping[str, int]]
    total: Mapping[str, int]
    why: str | None
    origins: Mapping[str, int]
    refused: tuple[tuple[str, int], ...]
    rendered: tuple[_RenderedExample, ...]
    templates: tuple[_TemplateUse, ...]


@dataclass(frozen=True)
class ExamplesSection:
    """Contents of the section on examples."""

    count: int
    splits: tuple[str, ...]
    objectives: tuple[_ObjectiveSummary, ...]

    @property
    def pictures(self) -> Iterator[PagePicture]:
        """Pictures in prompts."""
        for objective in self.objectives:
            for example in objective.rendered:
                yield from (turn.picture for turn in example.turns if turn.picture)


def examples_section(version: DatasetVersion) -> ExamplesSection:
    """Summarize all examples of a version."""
    table = version.read("examples", COLUMNS).sort_by("example_id")
    rows = table.drop_columns("references").to_pylist()
    for row, has_info in zip(rows, _has_info(table["references"]), strict=True):
        row["has_info"] = has_info
    notes = version.dataset.notes.get("examples", {})
    names = in_order(row["objective"] for row in rows)
    splits = [*SPLITS, *sorted({row["split"] for row in rows} - set(SPLITS))]
    return ExamplesSection(
        table.num_rows,
        tuple(splits),
        tuple(
            _objective(version, name, [r for r in rows if r["objective"] == name], notes)
            for name in names
        ),
    )


def _title(name: str) -> tuple[str, str]:
    """Title and question of an objective; the bare name if its plug-in is not here any more."""
    try:
        found = objective_of(name)
    except RepicError:
        return name, ""
    return found.title, found.question


def _has_info(references: pa.ChunkedArray) -> list[bool]:
    """Whether any reference of a row has a text about it."""
    column = references.combine_chunks()
    texts = pc.struct_field(column.flatten(), "info")
    rows = pc.list_parent_indices(column).filter(pc.not_equal(texts, ""))
    has_info = np.zeros(len(column), dtype=bool)
    has_info[rows.to_numpy()] = True
    return has_info.tolist()


def _objective(
    version: DatasetVersion, name: str, rows: list[dict], notes: Mapping[str, Any]
) -> _ObjectiveSummary:
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row["kind"], Counter())[row["split"]] += 1
    note = notes.get(name) or {}
    refused = sorted((note.get("refused") or {}).items(), key=lambda entry: (-entry[1], entry[0]))
    title, summary = _title(name)
    return _ObjectiveSummary(
        name,
        title,
        summary,
        {kind: counts[kind] for kind in sorted(counts)},
        Counter(row["split"] for row in rows) + Counter({"": len(rows)}),
        note.get("why"),
        Counter(row["origin"] for row in rows if row["origin"] is not None),
        tuple(refused[:MAX_REASONS]),
        _rendered(version, rows),
        _templates(version, rows),
    )


def _rendered(version: DatasetVersion, rows: list[dict]) -> tuple[_RenderedExample, ...]:
    """One example of each kind and origin, and another whose references have a text about them."""
    layouts: dict[tuple[str, bool, str], list[dict]] = {}
    for row in sorted(rows, key=lambda r: (r["split"] != "train", r["example_id"])):
        layout = (row["kind"], row["has_info"], row["origin"] or "")
        layouts.setdefault(layout, []).append(row)
    used: set[str] = set()
    chosen = []
    for layout in sorted(layouts)[:MAX_LAYOUTS]:
        unused = (row for row in layouts[layout] if row["template_id"] not in used)
        row = next(unused, layouts[layout][0])
        used.add(row["template_id"])
        chosen.append(row["example_id"])
    complete = {row["example_id"]: row for row in version.rows("examples", "example_id", chosen)}
    return tuple(_RenderedExample(complete[i], tuple(_turns(complete[i]))) for i in chosen)


def _turns(row: dict) -> Iterator[_PromptTurn]:
    """The prompt, picture by picture."""
    images = iter(row["images"])
    turn = _PromptTurn(None, "", (), "")
    for block in row["prompt"]:
        if block["type"] != "image":
            turn = replace(turn, text=f"{turn.text}\n{_text(block, row)}".strip())
        elif image := next(images, None):
            if turn.picture or turn.text:
                yield turn
            picture = PagePicture(
                image["image_id"], image["uri"], tuple(image["crop"]), Augmentation.of(image)
            )
            has_box = image["role"] == "query" and row["box"] is not None
            overlays = (BoxOverlay.of(row["box"], image["crop"]),) if has_box else ()
            turn = _PromptTurn(picture, image["role"], overlays, "")
    yield turn


def _text(block: dict, row: dict) -> str:
    """A block of text; a box in it is written in pixels, as in the tables."""
    return block["text"].replace("{box}", _pixels(row["box"])) if row["box"] else block["text"]


def _pixels(box: list[float]) -> str:
    return "[{:.0f}, {:.0f}, {:.0f}, {:.0f}]".format(*box)


def _templates(version: DatasetVersion, rows: list[dict]) -> tuple[_TemplateUse, ...]:
    counts = Counter(row["template_id"] for row in rows)
    one_of = {row["template_id"]: row["example_id"] for row in reversed(rows)}
    texts = {
        row["template_id"]: _text(row["prompt"][-1], row)
        for row in version.rows("examples", "example_id", set(one_of.values()))
    }
    return tuple(_TemplateUse(name, counts[name], texts[name]) for name in sorted(counts))

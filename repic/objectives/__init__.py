"""The three objectives, and the step that turns one build into training examples."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from heapq import nsmallest
from typing import Any

import pyarrow as pa

from repic.config.build import Examples
from repic.objectives import names
from repic.objectives.base import (
    SPLITS,
    Draft,
    Note,
    Objective,
    Reward,
    Row,
    Template,
    rank,
    seed_of,
)
from repic.objectives.corpus import Material
from repic.objectives.ict import Ict
from repic.objectives.oct import Oct
from repic.objectives.vlt import Vlt

__all__ = [
    "LIGHT",
    "OBJECTIVES",
    "Material",
    "Note",
    "Objective",
    "Reward",
    "Row",
    "Template",
    "build",
    "describe",
    "written",
]

LIGHT = ("draft", "example_id", "objective", "kind", "split")
"""Columns of a row that decide whether it is used, and how it is counted."""

OBJECTIVES: dict[str, Objective] = {"oct": Oct(), "vlt": Vlt(), "ict": Ict()}


def describe(settings: Examples) -> dict[str, Any]:
    """JSON of all that decides a row besides the tables: settings, sentences, where names are from.

    Imports nothing heavy.
    """
    sentences = {
        name: [[template.id, template.text] for template in objective.templates]
        for name, objective in OBJECTIVES.items()
    }
    return {
        "settings": settings.model_dump(mode="json"),
        "sentences": sentences,
        "names": names.describe(settings.names.locales),
    }


def build(
    images: pa.Table,
    objects: pa.Table,
    pairs: pa.Table,
    splits: Mapping[str, str | None],
    settings: Examples,
    known: Mapping[str, Row] | None = None,
) -> tuple[list[Row], list[Note]]:
    """Rows of the examples table, and what became of each objective.

    Args:
        images: The images table of one build.
        objects: Its objects table.
        pairs: Its pairs table.
        splits: Photo -> split; a photo that is missing or None is used nowhere.
        settings: How pairs become examples.
        known: Rows of the same settings and sentences by the `draft` that they were written from.
            They are given back as they are, and need no more than the columns of `LIGHT`.

    Returns:
        Rows sorted by `example_id`, and one note per objective, in the order of `OBJECTIVES`.
    """
    made: dict[str, dict[str, Row]] = {}
    notes = {name: Note(name) for name in OBJECTIVES}
    with _no_cycles():
        material = Material.of(images, objects, pairs, splits)
        for name, objective in OBJECTIVES.items():
            note = notes[name]
            note.refused.update({f"pair_{reason}": n for reason, n in material.refused.items()})
            # Two draws may end in the very same example; it is one row.
            drafts = objective.drafts(material, settings, note)
            made[name] = {row["example_id"]: row for row in written(drafts, known or {})}
        rows = [row for split in SPLITS for row in _share(made, split, settings)]
    for row in rows:
        notes[row["objective"]].rows[row["kind"], row["split"]] += 1
    for name, note in notes.items():
        if not note.rows and note.why is None:
            note.why = (
                "its share in examples.shares is 0"
                if settings.shares is not None and name not in _positive(settings.shares)
                else "examples.total or examples.shares leave no row for it"
            )
    return sorted(rows, key=lambda row: row["example_id"]), list(notes.values())


@contextmanager
def _no_cycles() -> Iterator[None]:
    """Look for no cycles meanwhile: rows have none, and the search takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def written(drafts: Iterable[Draft], known: Mapping[str, Row]) -> Iterator[Row]:
    """Rows of these drafts, each with its `draft`; only those that are not known are written."""
    for draft in drafts:
        if row := known.get(draft.key):
            yield row
        elif row := draft.write():
            row["draft"] = draft.key
            yield row


def _share(made: Mapping[str, Mapping[str, Row]], split: str, settings: Examples) -> list[Row]:
    """Rows of one split, cut to the shares and, for training, to the total.

    Which rows stay is decided by the rank of their ids, so that most of a smaller choice is in
    every larger one. An objective without rows leaves its share to the others.
    """
    found = {
        name: [row for row in rows.values() if row["split"] == split] for name, rows in made.items()
    }
    total = settings.total if split == "train" else None
    if settings.shares is None:
        everything = [row for rows in found.values() for row in rows]
        return everything if total is None else _first(everything, total, settings)
    shares = {name: s for name, s in _positive(settings.shares).items() if found[name]}
    whole = sum(shares.values())
    if not whole:
        return []
    most = min(len(found[name]) * whole / share for name, share in shares.items())
    size = most if total is None else min(most, total)
    return [
        row
        for name, share in shares.items()
        for row in _first(found[name], round(size * share / whole), settings)
    ]


def _first(rows: Iterable[Row], count: int, settings: Examples) -> list[Row]:
    """The first rows in the order of the seed, without a place for each of the others."""
    order = seed_of(settings.seed, "share")
    return nsmallest(
        count, rows, key=lambda row: (rank(order, row["example_id"]), row["example_id"])
    )


def _positive(shares: Mapping[Any, float]) -> dict[str, float]:
    return {str(name): share for name, share in shares.items() if share > 0}

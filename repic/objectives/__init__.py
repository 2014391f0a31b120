"""The objectives, and the function that makes the training examples of a build."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from repic.config import ExampleSettings, SourceSettings, plugins
from repic.objectives import names, neighborhood, source_use
from repic.objectives.base import Draft, ObjectiveSummary, Reward, Row, Template
from repic.objectives.corpus import READ, Corpus
from repic.objectives.inputs import ExampleInputs
from repic.objectives.neighborhood import Neighborhood
from repic.objectives.objective import Objective
from repic.objectives.registry import in_order, objective_of
from repic.objectives.selection import COLUMNS, Counts, select

__all__ = [
    "COLUMNS",
    "READ",
    "Corpus",
    "ExampleInputs",
    "Objective",
    "ObjectiveSummary",
    "Reward",
    "Row",
    "Template",
    "Written",
    "build",
    "describe",
    "in_order",
    "objective_of",
    "select",
    "without_gc",
    "write",
]


def describe(settings: ExampleSettings, sources: Sequence[SourceSettings] = ()) -> dict[str, Any]:
    """The recipe of the rows besides the tables, as JSON: settings, templates, sources of names,
    sources whose photos are used in another way than all, and plug-ins.

    It is part of the fingerprint of the examples, and imports nothing heavy.
    """
    used = source_use.objectives(sources)
    sentences = {
        name: [[template.id, template.text] for template in objective_of(name).templates]
        for name in used
    }
    made_by = {
        name: plugins.described("objectives", name, settings.of_plugin(name))
        for name in used
        if plugins.is_plugin("objectives", name)
    }
    return {
        "settings": settings.model_dump(mode="json"),
        "sentences": sentences,
        "names": names.describe(settings.names.locales),
        **source_use.describe(sources),
        **({"plugins": made_by} if made_by else {}),
    }


def build(
    images: pa.Table,
    objects: pa.Table,
    labels: Mapping[str, str | None],
    pairs: pa.Table,
    splits: Mapping[str, str | None],
    settings: ExampleSettings,
    sources: Sequence[SourceSettings] = (),
) -> tuple[list[Row], list[ObjectiveSummary]]:
    """Rows of the examples table, and a summary of each objective, of tables that fit in memory.

    The stage of a build does the same photo by photo.

    Args:
        images: The images table of one build.
        objects: Its objects table.
        labels: object_id -> what texts call it; None or absent if nothing is sure.
        pairs: Its pairs table.
        splits: image_id -> split; a photo that is missing or has None is not used.
        settings: How pairs become examples.
        sources: Which objectives the photos of each source are used for, and their weights.

    Returns:
        Rows sorted by `example_id`, and one summary per objective, in the order of `in_order`.
    """
    named = pa.table({"object_id": _texts(labels.keys()), "label": _texts(labels.values())})
    split = pa.table({"image_id": _texts(splits.keys()), "split": _texts(splits.values())})
    corpus = Corpus.of(images, objects, named, pairs, split)
    inputs = ExampleInputs.of(corpus, settings, sources)
    written = write(inputs.take(np.arange(len(inputs.queries))), settings, sources)
    rows = written.rows
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    light = pa.table({name: pa.array(values, COLUMNS[name]) for name, values in columns.items()})
    chosen, summaries = select([light], inputs, written.refused.values(), settings, sources)
    kept = (row for row, is_chosen in zip(rows, chosen.tolist(), strict=True) if is_chosen)
    return sorted(kept, key=lambda row: row["example_id"]), summaries


NEVER_KEPT = 0
"""In `Written.made_from`: of a row whose objective does not tell."""


@dataclass(frozen=True)
class Written:
    """What is written about some photos, before any rows are selected.

    Attributes:
        rows: New rows.
        made_from: Of each, a hash of all that it is made from besides the settings.
        kept: The same of rows that were known, and are not written again.
        refused: image_id -> counts of candidates that are not used, of photos that have any.
    """

    rows: list[Row] = field(default_factory=list)
    made_from: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    refused: dict[str, Counts] = field(default_factory=dict)

    def take(self, draft: Draft, objective: str, near: Neighborhood, known: Container[int]) -> None:
        """Keep the known row that is made from the same as a draft, or make the row."""
        made_from = NEVER_KEPT
        if draft.made_from is not None:
            made_from = neighborhood.digest(objective, near.known, draft.made_from)
            if made_from in known:
                self.kept.append(made_from)
                return
        if (row := draft.make()) is not None:
            self.rows.append(row)
            self.made_from.append(made_from)


def write(
    inputs: pa.Table,
    settings: ExampleSettings,
    sources: Sequence[SourceSettings] = (),
    known: Container[int] = (),
) -> Written:
    """Write all rows about some photos.

    Args:
        inputs: From `ExampleInputs.take`.
        known: `made_from` of rows that an earlier call with these settings wrote.
    """
    used = [(name, objective_of(name)) for name in source_use.objectives(sources)]
    unused = {name: source_use.unused(name, sources) for name, _ in used}
    written = Written()
    with without_gc():
        for near in neighborhood.read(inputs):
            counts: dict[str, Counter[str]] = {name: Counter() for name, _ in used}
            for name, one in used:
                if near.photo.source in unused[name]:
                    continue
                for draft in one.drafts(near.without(unused[name]), settings, counts[name]):
                    written.take(draft, name, near, known)
            if any(counts.values()):
                written.refused[near.photo.image_id] = {n: c for n, c in counts.items() if c}
    return written


def _texts(values: Iterable[str | None]) -> pa.Array:
    return pa.array(list(values), pa.string())


@contextmanager
def without_gc() -> Iterator[None]:
    """Pause cyclic garbage collection, a quarter of the time; rows have no reference cycles.

    It is best left paused until the rows are gone, as it would look at each of them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

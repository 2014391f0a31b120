"""The objectives, and the function that makes the training examples of a build."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from repic.config import ExampleSettings, SourceSettings, plugins
from repic.objectives import names, neighborhood, source_use
from repic.objectives.base import ObjectiveSummary, Reward, Row, Template
from repic.objectives.corpus import READ, Corpus
from repic.objectives.inputs import ExampleInputs
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
    rows, refused = write(inputs.take(np.arange(len(inputs.queries))), settings, sources)
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    light = pa.table({name: pa.array(values, COLUMNS[name]) for name, values in columns.items()})
    chosen, summaries = select([light], inputs, refused.values(), settings, sources)
    kept = (row for row, is_chosen in zip(rows, chosen.tolist(), strict=True) if is_chosen)
    return sorted(kept, key=lambda row: row["example_id"]), summaries


def write(
    inputs: pa.Table, settings: ExampleSettings, sources: Sequence[SourceSettings] = ()
) -> tuple[list[Row], dict[str, Counts]]:
    """All rows about some photos, before any are selected.

    Args:
        inputs: From `ExampleInputs.take`.

    Returns:
        Rows; and image_id -> counts of candidates that are not used, of photos that have any.
    """
    used = [(name, objective_of(name)) for name in source_use.objectives(sources)]
    unused = {name: source_use.unused(name, sources) for name, _ in used}
    rows: list[Row] = []
    refused: dict[str, Counts] = {}
    with without_gc():
        for near in neighborhood.read(inputs):
            counts: dict[str, Counter[str]] = {name: Counter() for name, _ in used}
            for name, one in used:
                if near.photo.source not in unused[name]:
                    rows += one.rows(near.without(unused[name]), settings, counts[name])
            if any(counts.values()):
                refused[near.photo.image_id] = {name: c for name, c in counts.items() if c}
    return rows, refused


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

"""What the photos of each source are used for: its objectives, and the weight of its rows.

A row belongs to the source of its query photo. All photos of a row, references included, are of
sources that the objective uses. Where rows are limited, they are drawn without replacement with
probabilities in proportion to the weights: the rows with the smallest -log(u) / weight are taken,
where u in (0, 1) is a hash of the row's id (Efraimidis and Spirakis 2006). So a draw is the same on
every machine, and a larger one contains a smaller one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log
from typing import Any

import pyarrow as pa

from repic.config import SourceSettings
from repic.objectives.base import Row, rank
from repic.objectives.corpus import Corpus

RowOrder = Callable[[Row], tuple[float, str]]
"""Sort key of rows; the first ones are kept."""


def describe(sources: Sequence[SourceSettings]) -> dict[str, Any]:
    """The part of the recipe of the rows, as JSON; empty if all sources are used alike."""
    recipe: dict[str, Any] = {}
    all_objectives = set(SourceSettings().objectives)
    if any(set(source.objectives) != all_objectives for source in sources):
        recipe["objectives"] = {s.name: sorted(set(s.objectives)) for s in sources}
    if found := weights(sources):
        recipe["weights"] = dict(found)
    return {"sources": recipe} if recipe else {}


def weights(sources: Sequence[SourceSettings]) -> Mapping[str, float]:
    """Name -> weight; empty if all have the same."""
    found = {source.name: source.weight for source in sources}
    return found if len(set(found.values())) > 1 else {}


def corpus_for(
    objective: str, corpus: Corpus, images: pa.Table, sources: Sequence[SourceSettings]
) -> Corpus:
    """The corpus in which only photos that an objective uses are in a split."""
    unused = {source.name for source in sources if objective not in source.objectives}
    if not unused:
        return corpus
    source_of = _source_of(images)
    return corpus.limited_to({image for image in corpus.splits if source_of[image] not in unused})


def row_order(seed: int, images: pa.Table, sources: Sequence[SourceSettings]) -> RowOrder:
    """The order in which rows are drawn."""
    weight_of = weights(sources)
    if not weight_of:
        return lambda row: (rank(seed, row["example_id"]), row["example_id"])
    source_of = _source_of(images)

    def order(row: Row) -> tuple[float, str]:
        share = ((rank(seed, row["example_id"]) >> 12) + 0.5) / 2**52
        weight = weight_of[source_of[row["images"][-1]["image_id"]]]
        return -log(1 - share) / weight, row["example_id"]

    return order


def _source_of(images: pa.Table) -> dict[str, str]:
    """image_id -> name of its source."""
    return dict(zip(images["image_id"].to_pylist(), images["source"].to_pylist(), strict=True))

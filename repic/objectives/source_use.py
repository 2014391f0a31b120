"""What the photos of each source are used for: its objectives, and the weight of its rows.

A row belongs to the source of its query photo. All photos of a row, references included, are of
sources that the objective uses. Where rows are limited, they are drawn without replacement with
probabilities in proportion to the weights: the rows with the smallest -log(u) / weight are taken,
where u in (0, 1) is a hash of the row's id (Efraimidis and Spirakis 2006). So a draw is the same on
every machine, and a larger one contains a smaller one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from repic.config import SourceSettings
from repic.objectives.base import ranks
from repic.objectives.corpus import Corpus
from repic.objectives.registry import in_order


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


def objectives(sources: Sequence[SourceSettings]) -> list[str]:
    """The objectives of a build: our own, and those of plug-ins that a source is used for."""
    return in_order(name for source in sources for name in source.objectives)


def unused(objective: str, sources: Sequence[SourceSettings]) -> frozenset[str]:
    """Names of the sources whose photos an objective does not use."""
    return frozenset(source.name for source in sources if objective not in source.objectives)


def corpus_for(objective: str, corpus: Corpus, sources: Sequence[SourceSettings]) -> Corpus:
    """The corpus in which only photos that an objective uses are in a split."""
    names = unused(objective, sources)
    if not names:
        return corpus
    of_others = pc.is_in(corpus.photos["source"], pa.array(sorted(names), pa.string()))
    return corpus.limited_to(~of_others.to_numpy())


def row_order(
    seed: int,
    ids: NDArray[np.uint64],
    image_id: pa.DictionaryArray,
    photos: pa.Table,
    sources: Sequence[SourceSettings],
) -> NDArray[np.int64]:
    """The order in which rows are drawn, as their numbers.

    Args:
        ids: The first 64 bits of their ids, by which they are sorted.
        image_id: Of each row.
        photos: With `image_id` and `source`.
    """
    rank = ranks(seed, ids)
    weight_of = weights(sources)
    if not weight_of:
        return np.argsort(rank, kind="stable")
    places = pc.index_in(image_id.dictionary, photos["image_id"].combine_chunks())
    source_of = photos["source"].take(places).take(image_id.indices).to_pylist()
    shares = (((int(number) >> 12) + 0.5) / 2**52 for number in rank.tolist())
    # By `math`, whose logarithm is the same on every machine.
    order = [-log(1 - u) / weight_of[name] for u, name in zip(shares, source_of, strict=True)]
    return np.argsort(order, kind="stable")

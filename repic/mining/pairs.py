"""Pairs of objects as arrays, and the helpers that select them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from repic.mining import similarity
from repic.mining.neighbors import Analysis
from storage.hashing import mix

EASY, MEDIUM, HARD = 0, 1, 2
BANDS = ("easy", "medium", "hard")
"""Names of the values of `ObjectPairs.band`."""


@dataclass(frozen=True)
class ObjectPairs:
    """m ordered pairs of objects, in different photos that are not near-duplicates.

    Attributes:
        anchor, other: int64 (m,), indices of the two objects.
        mined: bool (m,), whether similarity decided the pair; else labels did.
        band: int8 (m,), `EASY`, `MEDIUM` or `HARD`; a hard positive has low similarity, a hard
            negative high similarity.
        similarity: float32 (m,), cosine, rounded to ten-thousandths.
        percentile: float32 (m,), rank of the similarity among all cross-photo pairs, 0 to 100.
        margin: float32 (m,), similarity minus the mean background of the two objects.
        doubtful: bool (m,), whether label and similarity disagree; see `all_positives` and
            `negatives`.
    """

    anchor: np.ndarray
    other: np.ndarray
    mined: np.ndarray
    band: np.ndarray
    similarity: np.ndarray
    percentile: np.ndarray
    margin: np.ndarray
    doubtful: np.ndarray

    def __len__(self) -> int:
        return len(self.anchor)

    def take(self, rows: np.ndarray | slice) -> ObjectPairs:
        """The rows that an index array, a mask or a slice selects."""
        return ObjectPairs(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def joined(parts: Sequence[ObjectPairs]) -> ObjectPairs:
    """The pairs of several parts, at least one, in order."""
    names = (f.name for f in fields(ObjectPairs))
    return ObjectPairs(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def rank_within(owner: np.ndarray) -> np.ndarray:
    """Number of each row among the rows of its owner, from 0; owners are sorted."""
    return np.arange(len(owner)) - np.searchsorted(owner, owner)


def first_rows(owner: np.ndarray, most: int) -> np.ndarray:
    """Mask of the first `most` rows of each owner; owners are sorted."""
    return rank_within(owner) < most


def describe(
    analysis: Analysis,
    anchor: np.ndarray,
    other: np.ndarray,
    mined: np.ndarray,
    band: np.ndarray,
) -> ObjectPairs:
    """Pairs with similarity, percentile and margin; none is marked as doubtful."""
    anchor, other = anchor.astype(np.int64), other.astype(np.int64)
    alike = similarity.of_pairs(analysis.grid, anchor, other)
    background = analysis.background[anchor] + analysis.background[other]
    return ObjectPairs(
        anchor,
        other,
        mined,
        band.astype(np.int8),
        (alike / similarity.UNIT).astype(np.float32),
        analysis.distribution.percentile(alike),
        ((2 * alike - background) / (2 * similarity.UNIT)).astype(np.float32),
        np.zeros(len(anchor), dtype=bool),
    )


GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Step of SplitMix64: 2^64 over the golden ratio."""


def hashed(numbers: np.ndarray) -> np.ndarray:
    """Hash of each number, uint64 of the same shape.

    Draws by hashes stay the same when a collection grows.
    """
    return mix(numbers.copy())

"""A table of pairs, as arrays."""

from __future__ import annotations

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
    """Ordered pairs of objects in photos that differ and are no near-duplicates; m rows.

    Attributes:
        anchor, other: int64 (m,), indices of the two objects.
        mined: bool (m,), whether similarity said so; else labels did.
        band: int8 (m,), `EASY`, `MEDIUM` or `HARD`; a hard positive looks unlike, a hard negative
            alike.
        similarity: float32 (m,), cosine in whole ten-thousandths.
        percentile: float32 (m,), rank of it among all cross-photo pairs, 0 to 100.
        margin: float32 (m,), similarity minus the mean background of the two objects.
        doubtful: bool (m,), label and similarity disagree; see the maker of the pairs.
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

    def take(self, rows: np.ndarray) -> ObjectPairs:
        """The rows of an index or a mask."""
        return ObjectPairs(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def turn_of(owner: np.ndarray) -> np.ndarray:
    """Place of each row among those of its owner, from 0; owners are sorted."""
    return np.arange(len(owner)) - np.searchsorted(owner, owner)


def first_of(owner: np.ndarray, most: int) -> np.ndarray:
    """Mask of the first `most` rows of each owner; owners are sorted."""
    return turn_of(owner) < most


def described(
    analysis: Analysis,
    anchor: np.ndarray,
    other: np.ndarray,
    mined: np.ndarray,
    band: np.ndarray,
) -> ObjectPairs:
    """ObjectPairs with their similarity, percentile and margin; none doubtful."""
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


def mixed(numbers: np.ndarray) -> np.ndarray:
    """A hash of each number, uint64 of the same shape; a draw by it ignores all other objects."""
    return mix(numbers.copy())

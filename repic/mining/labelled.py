"""Shorter lists of neighbors, where every object has a known identity.

Labels then decide every pair, and nothing is mined. What is asked of the list of an object is

- the most similar objects of other identities: for hard negatives (`OTHERS`) and for the background
  (`clustering.DENSITY`, fewer);
- the most similar object of its own identity, if another photo shows it;
- all `NEIGHBORS` of them for an identity so large that only a part of it is looked at (`spread`).

A list that has these, or that has all objects there are, gives the same answers as a longer one,
since the longer one begins with it. Objects whose list does not are searched again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from repic.mining.clustering import LARGEST
from repic.mining.similarity import UNIT, Neighbors

OTHERS = 8
"""Objects of other identities in a list that suffices."""

USUAL = 0.9
"""Share of the objects whose identity, with all its photos, leaves room for `OTHERS` in a list."""

MOST = 0.2
"""Share of objects to search again above which all lists should have been long."""


def length(identity: np.ndarray) -> int:
    """Length of a list that suffices for most objects."""
    sizes = np.bincount(identity)[identity]
    return OTHERS + int(np.quantile(sizes, USUAL, method="higher")) - 1


def insufficient(near: Neighbors, identity: np.ndarray) -> np.ndarray:
    """Objects whose list does not suffice, bool (n,).

    Args:
        identity: int64 (n,), none is negative.
    """
    there = near.index >= 0
    own = there & (identity[near.index] == identity[:, None])
    sizes = np.bincount(identity)[identity]
    others = (there & ~own).sum(1)
    few = (others < OTHERS) | ((sizes > 1) & ~own.any(1)) | (sizes > LARGEST)
    return few & there.all(1)


def neighbors(
    identity: np.ndarray,
    longest: int,
    of_all: Callable[[int], Neighbors],
    of_rows: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]],
) -> Neighbors:
    """Lists that suffice. -1 stands where a list of `longest` has none, or where none is needed.

    Args:
        identity: int64 (n,), none is negative.
        longest: Length of the list that always suffices.
        of_all: Searches neighbors of that number.
        of_rows: Searches those of some objects, bool (n,): index and similarity.
    """
    short = length(identity) if len(identity) else longest
    if 2 * short > longest:
        return of_all(longest)
    near = of_all(short)
    again = insufficient(near, identity)
    if again.sum() > MOST * len(again):
        return of_all(longest)
    if not again.any():
        return near
    index, similarity = of_rows(again, longest)
    more = ((0, 0), (0, index.shape[1] - near.index.shape[1]))
    near = Neighbors(
        np.pad(near.index, more, constant_values=-1),
        np.pad(near.similarity, more, constant_values=-UNIT - 1),
    )
    near.index[again], near.similarity[again] = index, similarity
    return near

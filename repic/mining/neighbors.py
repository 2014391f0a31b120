"""Analysis of a collection: nearest neighbors, groups and background similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from repic.mining import clustering, heap, labelled, similarity
from repic.mining.distribution import Distribution, distribution
from repic.mining.similarity import Neighbors

if TYPE_CHECKING:
    from repic.mining.increments import Memory

NEIGHBORS = 128
"""Number of nearest objects that are kept for each object."""


@dataclass(frozen=True)
class Search:
    """How nearest neighbors are found.

    Attributes:
        device: cpu, cuda or cuda:1; it does not change results.
        exact_up_to: Most objects that are all compared with each other. More are compared within
            blocks of similar ones, which finds most neighbors; see `blocks`.
        memory: Exact searches of earlier builds, which save time and do not change results.
    """

    device: str = "cpu"
    exact_up_to: int = 200_000
    memory: Memory | None = None

    def nearest(
        self,
        grid: np.ndarray,
        duplicate: np.ndarray,
        k: int,
        collection: str = "all",
        rows: np.ndarray | None = None,
    ) -> Neighbors:
        """The k most similar objects of each object whose photos are not near-duplicates.

        Args:
            grid: Result of `grid.on_grid`.
            duplicate: int64 (n,), near-duplicate group of each object's photo.
            collection: What the memory calls these objects.
            rows: int64 (n,), increasing: which of its objects they are; all by default.
        """
        from repic.mining import blocks, increments, search

        k = min(k, max(0, len(grid) - 1))
        heap.give_back()  # what the step before has left
        if len(grid) > self.exact_up_to:
            near, _ = blocks.nearest(grid, duplicate, k, self.device)
            heap.give_back()
            return near
        if self.memory and len(grid) >= increments.LEAST:
            collection = f"{collection} {k}"
            key = self.memory.key if rows is None else self.memory.key[rows]
            return increments.nearest(self.memory, collection, key, grid, duplicate, k, self.device)
        return search.nearest(grid, duplicate, k, self.device)

    def enough(
        self,
        grid: np.ndarray,
        duplicate: np.ndarray,
        identity: np.ndarray,
        collection: str = "all",
        rows: np.ndarray | None = None,
    ) -> Neighbors:
        """`NEIGHBORS` of each object; fewer where labels decide all pairs (see `labelled`).

        Args:
            identity: int64 (n,), labelled identity, -1 where unknown.
            grid, duplicate, collection, rows: As for `nearest`.
        """
        if (identity < 0).any() or len(grid) > self.exact_up_to:
            return self.nearest(grid, duplicate, NEIGHBORS, collection, rows)
        from repic.mining import search

        return labelled.neighbors(
            identity,
            min(NEIGHBORS, max(0, len(grid) - 1)),
            lambda k: self.nearest(grid, duplicate, k, collection, rows),
            lambda some, k: search.of_rows(some, grid, duplicate, k, self.device),
        )


@dataclass(frozen=True)
class Analysis:
    """A collection of n objects, and the result of one pass over all similarities.

    Attributes:
        grid: int16 (n, d), the rounded vectors; see `grid.on_grid`.
        photo: int64 (n,), photo of each object.
        duplicate: int64 (n,), near-duplicate group of that photo.
        identity: int64 (n,), labelled identity, -1 where unknown.
        distribution: Similarities of pairs of objects in different photos.
        near: Nearest objects by similarity; if all identities are labelled, as many as are needed.
        mined: Groups mined by similarity; if all identities are labelled, every object is alone.
        peers: int32 (n, <= `mined.typical_size`), the first neighbors that `mined` rests on.
        group: int64 (n,), the object's identity, labelled or mined, as the smallest index among
            its members. A mined group and a label that share an object are one group, so splits by
            it leak neither.
        background: int64 (n,), ten-thousandths: mean similarity to the `clustering.DENSITY` nearest
            objects of other groups.
        search: How `near` was found.
    """

    grid: np.ndarray
    photo: np.ndarray
    duplicate: np.ndarray
    identity: np.ndarray
    distribution: Distribution
    near: Neighbors
    mined: clustering.Groups
    peers: np.ndarray
    group: np.ndarray
    background: np.ndarray
    search: Search

    def __len__(self) -> int:
        return len(self.photo)


def analyze(
    vectors: np.ndarray,
    photo: np.ndarray,
    duplicate: np.ndarray,
    identity: np.ndarray,
    search: Search = Search(),
) -> Analysis:
    """Analyze all pairs of unit vectors, float16 or float32 (n, d); see `analyze_grid`.

    Raises:
        ValueError: as `analyze_grid`, or a vector does not have unit length.
    """
    if len(vectors) != len(photo):
        raise ValueError(f"one photo per vector: got {len(photo)} for {len(vectors)} vectors")
    return analyze_grid(similarity.on_grid(vectors), photo, duplicate, identity, search)


def analyze_grid(
    grid: np.ndarray,
    photo: np.ndarray,
    duplicate: np.ndarray,
    identity: np.ndarray,
    search: Search = Search(),
) -> Analysis:
    """Analyze all pairs of vectors on the grid, which may be the only copy of them in memory.

    Args:
        grid: int16 (n, d); see `grid.on_grid`.
        photo: int (n,), index of each object's photo.
        duplicate: int (n,), index of its photo's near-duplicate group.
        identity: int (n,), index of its labelled identity, -1 where unknown.
        search: How nearest neighbors are found.

    Raises:
        ValueError: lengths differ, or a photo is in two near-duplicate groups.
    """
    photo, duplicate, identity = (
        np.asarray(a, dtype=np.int64) for a in (photo, duplicate, identity)
    )
    _check(len(grid), photo, duplicate, identity)
    near = search.enough(grid, duplicate, identity)
    if (identity >= 0).all():
        mined, peers = clustering.singletons(len(grid)), near.index[:, :0]
    else:
        mined, peers = clustering.mine_groups(
            clustering.local_scale(near), photo, duplicate, identity
        )
    group = _with_labels(mined.group, identity)
    return Analysis(
        grid,
        photo,
        duplicate,
        identity,
        distribution(grid, photo, search.device),
        near,
        mined,
        peers,
        group,
        _background(near, group),
        search,
    )


def _check(n: int, photo: np.ndarray, duplicate: np.ndarray, identity: np.ndarray) -> None:
    if not n == len(photo) == len(duplicate) == len(identity):
        raise ValueError(
            f"one photo, near-duplicate group and identity per vector: got {len(photo)}, "
            f"{len(duplicate)} and {len(identity)} for {n} vectors"
        )
    _, first, inverse = np.unique(photo, return_index=True, return_inverse=True)
    if (duplicate[first][inverse] != duplicate).any():
        raise ValueError("the objects of one photo must share its near-duplicate group")


def _with_labels(mined: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """Mined groups, joined where they contain the same known identity; smallest index of each."""
    n = len(mined)
    identity_of_group = np.full(n, -1)
    np.maximum.at(identity_of_group, mined, identity)
    owner = identity_of_group[mined]
    key = np.where(owner >= 0, n + owner, mined)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return first[inverse]


def _background(near: Neighbors, group: np.ndarray) -> np.ndarray:
    background = np.empty(len(group), dtype=np.int64)
    for start in range(0, len(group), clustering.ROWS):
        part = slice(start, start + clustering.ROWS)
        index = near.index[part]
        other = (index >= 0) & (group[index] != group[part, None])
        other &= np.cumsum(other, axis=1) <= clustering.DENSITY
        total = np.where(other, near.similarity[part], 0).sum(1, dtype=np.int64)
        background[part] = total // np.maximum(1, other.sum(1))
    return background

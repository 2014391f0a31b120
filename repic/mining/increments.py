"""Nearest neighbors of a collection that has changed little since an earlier search.

The list of an object holds the k most similar objects, best first. Where none of them is gone, the
new list is the best k of the old list and of the added objects: an object that the old list leaves
out is no better than its last one, which is still there. Only added objects, and those whose lists
lost an entry, are compared with all others. An object whose vector or near-duplicate group changed
counts as removed and added. Ties go to the smaller index, so the order of the objects that stay
must be the same. The result is the same to the bit as that of `search.nearest`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from repic.mining import search
from repic.mining.products import exact_arithmetic
from repic.mining.similarity import Neighbors

LEAST = 2048
"""Objects of a collection below which a search takes less time than to read an earlier one."""

MOST = 0.3
"""Share of objects to compare with all others above which a search from nothing is faster."""

REPLACED = 0.05
"""The same share, above which the result is kept in place of the earlier one."""


@dataclass(frozen=True)
class Kept:
    """The result of an earlier search among m objects.

    Attributes:
        key: S16 (m,), a hash of all that matters of each object: its id, its vector and the name
            of its photo's near-duplicate group.
        near: What `search.nearest` returned for them.
    """

    key: np.ndarray
    near: Neighbors


class Memory(Protocol):
    """Earlier searches of the same objects, by name of the collection that they were among."""

    @property
    def key(self) -> np.ndarray:
        """S16 (n,), of all objects; see `Kept`."""

    def recall(self, collection: str) -> Kept | None:
        """The result that was kept last."""

    def keep(self, collection: str, kept: Kept) -> None:
        """Keep a result for later builds."""


def nearest(
    memory: Memory,
    collection: str,
    key: np.ndarray,
    grid: np.ndarray,
    duplicate: np.ndarray,
    k: int,
    device: str = "cpu",
) -> Neighbors:
    """As `search.nearest`, from an earlier result where there is one that saves time.

    Args:
        key: S16 (n,), of these objects; see `Kept`.
    """
    kept = memory.recall(collection)
    old = _places(kept, key, k) if kept else None
    if kept and old is not None:
        lists = _current(kept, old)
        anew = (old < 0) | ((lists < 0) & (kept.near.index[old] >= 0)).any(1)
        if anew.mean() <= MOST:
            earlier = Neighbors(lists, kept.near.similarity[old])
            near = _updated(earlier, old < 0, anew, grid, duplicate, device)
            if anew.mean() > REPLACED:
                memory.keep(collection, Kept(key, near))
            return near
    near = search.nearest(grid, duplicate, k, device)
    memory.keep(collection, Kept(key, near))
    return near


def _places(kept: Kept, key: np.ndarray, k: int) -> np.ndarray | None:
    """Place of each object in the earlier result, -1 for an added one: int64 (n,).

    None if the earlier result is of no use.
    """
    if kept.near.index.shape[1] != k or not len(kept.key):
        return None
    order = np.argsort(kept.key)
    at = order[np.minimum(np.searchsorted(kept.key, key, sorter=order), len(order) - 1)]
    old = np.where(kept.key[at] == key, at, -1)
    stayed = old[old >= 0]
    return old if (np.diff(stayed) > 0).all() else None


def _current(kept: Kept, old: np.ndarray) -> np.ndarray:
    """The earlier list of each object as indices of now, -1 for removed objects: int32 (n, k)."""
    now = np.full(len(kept.key) + 1, -1, dtype=np.int32)  # the last one is for -1
    stayed = np.flatnonzero(old >= 0)
    now[old[stayed]] = stayed
    return now[kept.near.index[old]]


def _updated(
    near: Neighbors,
    added: np.ndarray,
    anew: np.ndarray,
    grid: np.ndarray,
    duplicate: np.ndarray,
    device: str,
) -> Neighbors:
    """The earlier lists, which are complete except where `anew`, brought up to date in place."""
    if added.any():
        with exact_arithmetic():
            _merge(near, np.flatnonzero(~anew), np.flatnonzero(added), grid, duplicate, device)
    if anew.any():
        k = near.index.shape[1]
        near.index[anew], near.similarity[anew] = search.of_rows(anew, grid, duplicate, k, device)
    return near


def _merge(
    near: Neighbors,
    rows: np.ndarray,
    added: np.ndarray,
    grid: np.ndarray,
    duplicate: np.ndarray,
    device: str,
) -> None:
    """Put added objects into the lists of some objects, in place."""
    names = torch.from_numpy(added).to(device)
    theirs, group = (torch.from_numpy(a[added]).to(device) for a in (grid, duplicate))
    theirs = theirs.float()
    k = near.index.shape[1]
    for some in np.array_split(rows, -(-len(rows) * (len(added) + k) // search.BLOCK)):
        vectors, own = (torch.from_numpy(a[some]).to(device) for a in (grid, duplicate))
        keys = search.exact_keys(vectors.float(), theirs, own, group, names)
        kept = search.packed(near.index[some], near.similarity[some], device)
        best = keys.topk(min(k, len(added))).values
        best = torch.cat([kept, best], 1).topk(k).values
        near.index[some], near.similarity[some] = search.unpacked(best)

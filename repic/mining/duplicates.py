"""Near-duplicate photos: one picture that was saved twice or slightly cropped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from repic.mining.union_find import connected

BLOCK = 1 << 22
"""Number of hash pairs compared at once."""

FEW, MOST_PARTS = 6000, 8
"""Number of hashes up to which all are compared, and the most parts that a hash is divided into."""

LEAST_CONTENT = 8
"""Minimum number of set bits, and of clear bits, of a hash that distinguishes pictures. A hash by
comparison with a median has about half of each; the hash of a flat picture has few of one kind."""


def near_duplicates(phashes: np.ndarray, bits: int) -> np.ndarray:
    """Near-duplicate group of each photo, shape (n,): the smallest index among its members.

    Groups are the connected components of "at most `bits` of 64 bits differ", so photos of
    different groups are never near-duplicates. Hashes of flat pictures (see `LEAST_CONTENT`) differ
    in few bits whatever the pictures show; they match only if equal.

    Args:
        phashes: uint64 of shape (n,), 64-bit perceptual hashes.
        bits: Maximum number of differing bits, 0 to 64.

    Raises:
        ValueError: `phashes` is not one-dimensional uint64.
    """
    if phashes.dtype != np.uint64 or phashes.ndim != 1:
        raise ValueError(
            f"perceptual hashes must be uint64 of shape (n,), not {phashes.dtype} "
            f"of shape {phashes.shape}; int(hex, 16) reads one"
        )
    distinct, inverse = np.unique(phashes, return_inverse=True)
    group = _components(distinct, bits)[inverse]
    first = np.full(len(distinct), len(phashes), dtype=np.int64)
    np.minimum.at(first, group, np.arange(len(phashes)))
    return first[group]


def _components(hashes: np.ndarray, bits: int) -> np.ndarray:
    """Component of each of n distinct hashes, named by its smallest index."""
    count = np.bitwise_count(hashes)
    distinctive = np.flatnonzero((count >= LEAST_CONTENT) & (count <= 64 - LEAST_CONTENT))
    component = np.arange(len(hashes))
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    found = 0
    for pairs in _close_pairs(hashes[distinctive], bits):
        waiting.append(pairs)
        found += len(pairs[0])
        if found > BLOCK:
            component = _connected(component, distinctive, waiting)
            waiting, found = [], 0
    return _connected(component, distinctive, waiting)


def _connected(
    component: np.ndarray, names: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Components after connecting pairs of these names; each is called by its smallest index."""
    left, right = (
        names[np.concatenate([names[:0], *(pair[side] for pair in pairs)])] for side in (0, 1)
    )
    return connected(component, left, right)


def _close_pairs(hashes: np.ndarray, bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of hashes that differ in at most `bits` bits, some of them several times.

    Of `bits` + 1 parts of a hash, at least one is equal in both. So only hashes with an equal part
    are compared, unless they are few or the parts short.
    """
    parts = bits + 1 if len(hashes) > FEW and bits < MOST_PARTS else 1
    for number in range(parts):
        first, last = 64 * number // parts, 64 * (number + 1) // parts
        mask = np.uint64((1 << (last - first)) - 1 if parts > 1 else 0)
        value = (hashes >> np.uint64(first)) & mask
        order = np.argsort(value, kind="stable")
        bounds = np.flatnonzero(np.diff(value[order])) + 1
        for same in np.split(order, bounds):
            yield from _pairs_among(hashes, same, bits)


def _pairs_among(
    hashes: np.ndarray, names: np.ndarray, bits: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs among the hashes of these indices that differ in at most `bits` bits."""
    these = hashes[names]
    rows = max(1, BLOCK // max(1, len(names)))
    for start in range(0, len(names) - 1, rows):
        distance = np.bitwise_count(these[start : start + rows, None] ^ these[None, start:])
        a, b = np.nonzero(np.triu(distance <= bits, 1))
        if len(a):
            yield names[start + a], names[start + b]

"""Near-duplicate photos: one picture that was saved twice or slightly cropped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from repic.mining.union_find import connected_components

BLOCK = 1 << 22
"""Number of hash pairs compared at once."""

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
    components = connected_components(
        range(len(hashes)), _close_pairs(hashes[distinctive], distinctive, bits)
    )
    return np.array(list(components.values()), dtype=np.int64)


def _close_pairs(hashes: np.ndarray, names: np.ndarray, bits: int) -> Iterator[tuple[int, int]]:
    """Names of every two hashes that differ in at most `bits` bits."""
    rows = max(1, BLOCK // max(1, len(hashes)))
    for start in range(0, len(hashes), rows):
        distance = np.bitwise_count(hashes[start : start + rows, None] ^ hashes[None, start:])
        for a, b in np.argwhere(distance <= bits):
            if a < b:
                yield int(names[start + a]), int(names[start + b])

"""Chance by hashes of what is drawn from: a draw stays what it was when a collection grows."""

from __future__ import annotations

import numpy as np

from storage.hashing import mix

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Step of SplitMix64: 2^64 over the golden ratio."""


def mixed(numbers: np.ndarray) -> np.ndarray:
    """A hash of each number that leaves the numbers as they are, uint64 of the same shape."""
    return mix(numbers.copy())

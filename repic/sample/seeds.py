"""Random generators that depend only on a key."""

from __future__ import annotations

import numpy as np

from storage.hashing import fingerprint


def generator(*key: str | int) -> np.random.Generator:
    """A generator seeded by the hash of a key; one for each photo, texture or plan."""
    return np.random.Generator(np.random.PCG64(int(fingerprint(list(key)), 16)))

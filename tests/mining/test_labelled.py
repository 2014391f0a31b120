"""Pairs of fully labelled collections come from shorter lists, and are the same."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from repic import mining
from repic.mining import Analysis, ObjectPairs, Search, labelled, search, similarity
from repic.mining.neighbors import NEIGHBORS


def world(
    random: np.random.Generator, identities: int, most: int, spread: float
) -> tuple[np.ndarray, ...]:
    """Vectors, near-duplicate group and identity; some photos are near-duplicates."""
    identity = np.repeat(np.arange(identities), random.integers(1, most + 1, identities))
    n, dim = len(identity), 16
    vectors = random.normal(size=(identities, dim))[identity] + spread * random.normal(
        size=(n, dim)
    )
    duplicate = np.arange(n)
    again = np.flatnonzero((random.random(n) < 0.1) & (np.diff(identity, prepend=-1) == 0))
    duplicate[again] = duplicate[again - 1]
    order = random.permutation(n)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[order], duplicate[order], identity[order]


def mined(analysis: Analysis, split: np.ndarray, hard: int) -> ObjectPairs:
    n = len(analysis)
    keys = np.random.default_rng(0).integers(0, 2**64, n, dtype=np.uint64)
    label = np.arange(n) % 3
    return mining.negatives(analysis, label, split, keys, hard=hard, medium=1, easy=1)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.integers(2, 150),
    st.integers(1, 9),
    st.sampled_from([0.2, 1.0, 3.0]),
    st.integers(1, 4),
)
@example(1, 4, 150, 1.0, 2)  # identities of which only a part is looked at
def test_pairs_are_those_of_long_lists(
    seed: int, identities: int, most: int, spread: float, hard: int
) -> None:
    random = np.random.default_rng(seed)
    vectors, duplicate, identity = world(random, identities, most, spread)
    photo = np.arange(len(vectors))
    split = random.integers(-1, 3, len(vectors)) if seed % 2 else np.zeros(len(vectors), int)
    found = mining.analyze(vectors, photo, duplicate, identity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelled, "length", lambda identity: NEIGHBORS)
        expected = mining.analyze(vectors, photo, duplicate, identity)
        pairs = mined(expected, split, hard)
    np.testing.assert_array_equal(found.background, expected.background)
    assert mining.several_groups(found) == mining.several_groups(expected)
    ours = mined(found, split, hard)
    for field in fields(ObjectPairs):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(pairs, field.name))


def test_lists_are_short_where_labels_decide() -> None:
    vectors, duplicate, identity = world(np.random.default_rng(0), 300, 4, 0.5)
    grid = similarity.on_grid(vectors)
    near = Search().enough(grid, duplicate, identity)
    longest = search.nearest(grid, duplicate, NEIGHBORS)
    short = labelled.length(identity)
    assert short == labelled.OTHERS + 3
    np.testing.assert_array_equal(near.index[:, :short], longest.index[:, :short])
    again = labelled.insufficient(search.nearest(grid, duplicate, short), identity)
    assert 0 < again.sum() < len(grid) / 5
    np.testing.assert_array_equal(near.index[again], longest.index[again])
    assert (near.index[~again, short:] == -1).all()
    identity[0] = -1
    assert Search().enough(grid, duplicate, identity).index.shape[1] == NEIGHBORS

"""Vectors on the grid, similarities of pairs, near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repic.mining import duplicates, near_duplicates, similarity


def unit(n: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_similarity_is_the_cosine_to_within_its_rounding() -> None:
    vectors = unit(60, 256)
    left, right = np.triu_indices(60, 1)
    similarities = similarity.of_pairs(similarity.on_grid(vectors), left, right) / similarity.UNIT
    assert np.abs(similarities - (vectors @ vectors.T)[left, right]).max() < 8e-4


def test_sums_are_exact_so_order_and_blocks_cannot_matter() -> None:
    grid = similarity.on_grid(unit(50, 1280))
    exact = grid.astype(np.int64) @ grid.T.astype(np.int64)
    floats = grid.astype(np.float32)
    assert (floats @ floats.T == exact).all()
    assert exact.max() < 2**24


def test_a_process_that_allows_bfloat16_gets_the_same_similarities() -> None:
    grid = similarity.on_grid(unit(40, 64))
    left, right = np.triu_indices(40, 1)
    exact = similarity.of_pairs(grid, left, right)
    torch.set_float32_matmul_precision("medium")
    try:
        assert (similarity.of_pairs(grid, right, left) == exact).all()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_similarities_of_pairs_have_the_shape_of_the_pairs() -> None:
    grid = similarity.on_grid(unit(9, 8))
    left, right = np.meshgrid(np.arange(9), np.arange(9), indexing="ij")
    alike = similarity.of_pairs(grid, left, right)
    assert (alike == alike.T).all()
    assert (np.diag(alike) > 9_990).all()
    assert similarity.of_pairs(grid, left[:0], right[:0]).shape == (0, 9)


def test_vectors_that_are_not_of_unit_length_are_refused() -> None:
    with pytest.raises(ValueError, match="divide each by its norm"):
        similarity.on_grid(np.ones((2, 4)))
    with pytest.raises(ValueError, match="divide each by its norm"):
        similarity.on_grid(np.array([[np.nan, 1.0]]))


def test_near_duplicates_are_connected_components() -> None:
    base = 0x123456789ABCDEF0
    chain = [base, base ^ 0b111, base ^ 0b111111, base ^ 0xFFFFFFFF]
    assert near_duplicates(np.array(chain, np.uint64), 3).tolist() == [0, 0, 0, 3]
    assert near_duplicates(np.array(chain, np.uint64), 2).tolist() == [0, 1, 2, 3]


def test_hashes_of_flat_pictures_do_not_pull_everything_together() -> None:
    flat = np.array([0, 1, 3, 0, 2**64 - 1], np.uint64)
    assert near_duplicates(flat, 6).tolist() == [0, 1, 2, 0, 4]


def test_hashes_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="uint64"):
        near_duplicates(np.array([1, 2]), 3)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    st.lists(st.integers(0, 63), max_size=12),
    st.integers(0, 12),
    st.sampled_from([0, 3, 6000]),
    st.sampled_from([1, 1 << 22]),
)
def test_near_duplicates_agree_with_a_plain_search(
    hashes: list[int], flips: list[int], bits: int, few: int, block: int
) -> None:
    # A chain of pictures of which each differs in one more bit, as a burst does.
    chain = [hashes[-1]]
    for flip in flips:
        chain.append(chain[-1] ^ (1 << flip))
    hashes = hashes + chain + [hashes[0] ^ (1 << flip) for flip in flips]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "FEW", few)
        patch.setattr(duplicates, "BLOCK", block)
        groups = near_duplicates(np.array(hashes, np.uint64), bits)
    distinctive = [8 <= h.bit_count() <= 56 for h in hashes]
    group = list(range(len(hashes)))
    for _ in hashes:
        for a, one in enumerate(hashes):
            for b, other in enumerate(hashes):
                near = distinctive[a] and distinctive[b] and (one ^ other).bit_count() <= bits
                if near or one == other:
                    group[a] = group[b] = min(group[a], group[b])
    assert groups.tolist() == group

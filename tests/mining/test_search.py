"""Neighbors are those of plain integer arithmetic, whatever the type of the rough products."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repic.mining import blocks, products, search, similarity
from repic.mining.distribution import EXACT, distribution
from repic.mining.neighbors import Search
from tests.mining.plain_similarity import scan
from tests.mining.test_similarity import unit


@contextmanager
def small_tiles(bfloat16: bool, tile: int = 32, sample: int = 64) -> Iterator[None]:
    """Rough products in bfloat16 or not, in many tiles, also where there are few objects."""
    with (
        mock.patch.object(products, "_bfloat16_pays", return_value=bfloat16),
        mock.patch.object(products, "TILE", tile),
        mock.patch.object(search, "TILE", tile),
        mock.patch.object(search, "SAMPLE", (sample, sample)),
        mock.patch.object(search, "PLAIN", 2),
        mock.patch.object(search, "BLOCK", 2000),
    ):
        yield


def check(vectors: np.ndarray, duplicate: np.ndarray, k: int) -> None:
    grid = similarity.on_grid(vectors)
    expected, _ = scan(grid, duplicate, duplicate, k)
    found = Search().nearest(grid, duplicate, k)
    assert (found.similarity == expected.similarity).all()
    assert (found.index == expected.index).all()
    assert (found.index.dtype, found.similarity.dtype) == (np.int32, np.int16)


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Vectors with near ties, copies, few large components or few values; groups; k."""
    n, dim = draw(st.integers(2, 180)), draw(st.integers(1, 70))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    kind = draw(st.sampled_from(["any", "close", "sparse", "signs", "copies", "negative"]))
    vectors = random.normal(size=(n, dim))
    if kind == "close":  # similarities differ by less than their rounding
        vectors = random.normal(size=dim) + 10.0 ** random.uniform(-4, -1) * vectors
    elif kind == "sparse":  # a component of 4000 has the largest error in bfloat16
        vectors *= random.random((n, dim)) < 0.1
    elif kind == "signs":
        vectors = np.sign(vectors)
    elif kind == "copies":
        vectors = vectors[random.integers(0, max(1, n // 8), n)]
    elif kind == "negative":
        vectors = np.abs(vectors) * random.choice([-1, 1], (n, 1))
    vectors[(vectors == 0).all(1), 0] = 1.0
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    groups = draw(st.sampled_from([1, n // 3 + 1, n]))
    duplicate = np.arange(n) if groups == n else random.integers(0, groups, n)
    return vectors, duplicate, draw(st.integers(1, 40))


@settings(max_examples=150, deadline=None)
@given(collections(), st.booleans())
def test_neighbours_are_those_of_plain_integer_arithmetic(
    collection: tuple[np.ndarray, np.ndarray, int], bfloat16: bool
) -> None:
    with small_tiles(bfloat16):
        check(*collection)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("scale", [1e-3, 0.1, 1.0])
def test_neighbours_of_a_larger_collection_are_exact(bfloat16: bool, scale: float) -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(300, 90))[np.arange(3000) // 10]
    vectors += scale * random.normal(size=(3000, 90))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with small_tiles(bfloat16, tile=256, sample=512):
        check(vectors, random.permutation(3000) // 2, 20)


def test_few_objects_are_compared_with_all_others() -> None:
    """The sweep must do the work: thresholds from a sample fail only rarely."""
    grid = similarity.on_grid(unit(3000, 64))
    compared = []
    plain = search.TopK._compare_all

    def counted(finder: search.TopK, rows: torch.Tensor, best: torch.Tensor) -> None:
        compared.append(len(rows))
        plain(finder, rows, best)

    with (
        small_tiles(True, tile=256, sample=512),
        mock.patch.object(search.TopK, "_compare_all", counted),
    ):
        search.nearest(grid, np.arange(3000), 20)
    assert sum(compared) < 60


def test_copies_of_a_few_vectors_need_little_memory() -> None:
    """Thousands of equal similarities are not kept as candidates."""
    grid = similarity.on_grid(np.repeat(unit(3, 16), 500, axis=0))
    most = []
    hits = search._hits

    def counted(tile: torch.Tensor, least: torch.Tensor) -> search.Hits:
        found = hits(tile, least)
        most.append(len(found[0]))
        return found

    with small_tiles(False, sample=256), mock.patch.object(search, "_hits", counted):
        search.nearest(grid, np.arange(1500), 9)
    assert sum(most) < 1500 * 20


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(0, 1 << 30), st.booleans())
def test_no_product_is_further_from_the_rough_one_than_the_bound(
    dim: int, seed: int, sparse: bool
) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(50, dim)) * (random.random((50, dim)) < (0.1 if sparse else 1))
    vectors[(vectors == 0).all(1), 0] = 1.0
    grid = similarity.on_grid(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    with small_tiles(True):
        found = products.Products(grid, "cpu")
    exact = grid.astype(np.float64) @ grid.T.astype(np.float64)
    high = found.rough.double().numpy()
    assert (np.abs(exact - high @ high.T) <= found.error.double().numpy()[:, None]).all()
    rough = torch.mm(found.rough, found.rough.T).double().numpy()
    assert (np.abs(rough - high @ high.T) <= products.ROUNDOFF * np.abs(rough)).all()


def test_similarities_that_differ_belong_to_products_that_differ_by_at_most_a_step() -> None:
    whole = torch.arange(-(similarity.GRID**2), 16 << 20, 37, dtype=torch.float32)
    expected = np.clip(
        np.rint(whole.numpy() * np.float32(similarity.UNIT / similarity.GRID**2)), -10_000, 10_000
    )
    assert (products.rounded(whole.clone()).numpy() == expected).all()
    further = products.rounded((whole + products.STEP).clamp(max=similarity.GRID**2))
    inside = whole + products.STEP < similarity.GRID**2
    assert (further[inside] > products.rounded(whole.clone())[inside]).all()


def test_ties_go_to_the_smaller_index() -> None:
    vectors = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    photo = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    near = Search().nearest(similarity.on_grid(vectors), photo, 4)
    assert near.index[0].tolist() == [2, 3, 4, 5]
    assert near.similarity[0].tolist() == [10_000, 0, 0, 0]
    assert near.index[2].tolist() == [0, 1, 3, 4]


def test_an_object_with_few_others_has_few_neighbours() -> None:
    photo = np.array([0, 0, 1])
    grid = similarity.on_grid(unit(3, 8))
    assert (Search().nearest(grid, photo, 5).index >= 0).sum(1).tolist() == [1, 1, 2]
    assert Search().nearest(grid[:1], photo[:1], 5).index.shape == (1, 0)
    assert Search().nearest(grid[:0], photo[:0], 5).index.shape == (0, 0)
    assert distribution(grid, photo).counts.sum() == 4


def test_all_pairs_of_a_small_collection_are_counted() -> None:
    grid = similarity.on_grid(unit(300, 8))
    photo = np.arange(300) // 2
    _, expected = scan(grid, photo, photo, 1)
    assert (distribution(grid, photo).counts == expected.counts).all()
    assert (distribution(grid[:0], photo[:0]).percentile(np.array([5])) == 0).all()


@pytest.mark.parametrize("kind", ["noise", "sorted groups", "two halves", "one direction"])
def test_sampled_percentiles_are_within_a_tenth(kind: str) -> None:
    n, random = EXACT + 1000, np.random.default_rng(2)
    vectors = random.normal(size=(n, 16))
    if kind == "sorted groups":
        vectors += 2 * random.normal(size=(12, 16))[np.sort(random.integers(0, 12, n))]
    elif kind == "two halves":
        vectors[: n // 2] += 3
    elif kind == "one direction":  # objects differ in how similar they are to all others
        vectors[:, 0] += np.linspace(0, 12, n)
    grid = similarity.on_grid(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    photo = np.arange(n) // 3
    everything = np.arange(-similarity.UNIT, similarity.UNIT + 1)
    with mock.patch("repic.mining.distribution.EXACT", n):
        exact = distribution(grid, photo).percentile(everything)
    assert np.abs(distribution(grid, photo).percentile(everything) - exact).max() < 0.1


def test_a_collection_too_large_for_exact_search_is_searched_in_blocks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    random = np.random.default_rng(3)
    vectors = random.normal(size=(60, 32))[np.arange(1500) % 60] + 0.5 * random.normal(
        size=(1500, 32)
    )
    grid = similarity.on_grid(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    duplicate = np.arange(1500) // 2
    exact, _ = scan(grid, duplicate, duplicate, 12)
    with (
        mock.patch.object(blocks, "SIZE", 50),
        mock.patch.object(blocks, "COMPARED", 300),
        caplog.at_level("INFO"),
    ):
        near = Search(exact_up_to=1499).nearest(grid, duplicate, 12)
        again, recall = blocks.nearest(grid, duplicate, 12)
    assert (near.index == again.index).all()
    true = [len(np.intersect1d(*lists)) / 12 for lists in zip(exact.index, near.index, strict=True)]
    assert recall == pytest.approx(np.mean(true), abs=0.03)
    assert recall > 0.9
    assert f"{100 * recall:.1f} % of the nearest 12" in caplog.text
    alike = similarity.of_pairs(
        grid, np.arange(1500)[:, None].repeat(12, 1), near.index.astype(int)
    )
    assert (alike == near.similarity).all()
    assert (duplicate[near.index] != duplicate[:, None]).all()


def test_equal_vectors_leave_blocks_empty() -> None:
    vectors = unit(1200, 8, seed=6)
    vectors[:700] = vectors[0]
    grid, duplicate = similarity.on_grid(vectors), np.arange(1200)
    with mock.patch.object(blocks, "SIZE", 50):
        near, recall = blocks.nearest(grid, duplicate, 10)
    assert recall == 1
    assert np.array_equal(near.index, Search().nearest(grid, duplicate, 10).index)


def test_blocks_that_hold_everything_find_everything() -> None:
    grid = similarity.on_grid(unit(400, 16))
    duplicate = np.arange(400)
    with mock.patch.object(blocks, "SIZE", 50):
        near, recall = blocks.nearest(grid, duplicate, 10)
    expected, _ = scan(grid, duplicate, duplicate, 10)
    assert (near.index == expected.index).all()
    assert recall == 1.0


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("2,4", 2)])
def test_mining_uses_the_threads_of_openmp(
    monkeypatch: pytest.MonkeyPatch, value: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert products._threads() == threads
    for unset in ("", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", unset)
        assert products._threads() == len(os.sched_getaffinity(0))

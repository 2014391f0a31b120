"""Neighbors of a changed collection, from those of an earlier one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repic.mining import Search, increments, search, similarity
from repic.mining.increments import Kept

DIM, K = 8, 12


@dataclass
class Memory:
    """Keeps results in this process."""

    key: np.ndarray
    kept: dict[str, Kept] = field(default_factory=dict)

    def recall(self, collection: str) -> Kept | None:
        return self.kept.get(collection)

    def keep(self, collection: str, kept: Kept) -> None:
        self.kept[collection] = kept


@dataclass
class World:
    """Objects with ids in any order, vectors of which many are equal, and near-duplicates."""

    id: np.ndarray
    vector: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, random: np.random.Generator, n: int) -> World:
        ids = random.choice(1 << 30, n, replace=False)
        return cls(ids, random.integers(-2, 3, (n, DIM)) + 0.1, random.integers(0, n // 2 + 1, n))

    def changed(self, random: np.random.Generator, gone: int, other: int, added: int) -> World:
        """Without some objects, with other vectors or groups of some, and with more objects."""
        stay = np.sort(random.permutation(len(self.id))[gone:])
        new = World.of(random, added)
        vector, group = self.vector[stay].copy(), self.group[stay].copy()
        some = random.permutation(len(stay))[:other]
        vector[some[::2]] = random.integers(-2, 3, (len(some[::2]), DIM)) + 0.1
        group[some[1::2]] = random.integers(0, len(self.id), len(some[1::2]))
        return World(
            np.concatenate([self.id[stay], new.id]),
            np.concatenate([vector, new.vector]),
            np.concatenate([group, new.group]),
        )

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Key, grid and near-duplicate group in the order of ids."""
        order = np.argsort(self.id, kind="stable")
        vector, group = self.vector[order], self.group[order]
        grid = similarity.on_grid(vector / np.linalg.norm(vector, axis=1, keepdims=True))
        known = zip(self.id[order], group, grid, strict=True)
        key = [hashlib.md5(f"{i} {g} {v}".encode()).hexdigest()[:16] for i, g, v in known]
        return np.array(key, "S16"), grid, group


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.data())
def test_neighbors_are_those_of_a_search_from_nothing(seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    world = World.of(random, data.draw(st.integers(60, 300)))
    memory = Memory(np.empty(0))
    for _ in range(3):
        changes = [data.draw(st.integers(0, 9)) for _ in range(3)]
        memory.key, grid, group = world.arrays()
        found = increments.nearest(memory, "all", memory.key, grid, group, K)
        expected = search.nearest(grid, group, K)
        np.testing.assert_array_equal(found.index, expected.index)
        np.testing.assert_array_equal(found.similarity, expected.similarity)
        world = world.changed(random, *changes)


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the searches from nothing."""
    sizes: list[int] = []
    whole = search.nearest

    def counted(grid: np.ndarray, *rest: object) -> similarity.Neighbors:
        sizes.append(len(grid))
        return whole(grid, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "nearest", counted)
    return sizes


def test_few_changes_need_no_search_from_nothing(searched: list[int]) -> None:
    random = np.random.default_rng(0)
    world = World.of(random, 3000)
    memory = Memory(np.empty(0))
    for _ in range(3):
        memory.key, grid, group = world.arrays()
        found = Search(memory=memory).nearest(grid, group, K)
        expected = Search().nearest(grid, group, K)
        np.testing.assert_array_equal(found.index, expected.index)
        np.testing.assert_array_equal(found.similarity, expected.similarity)
        world = world.changed(random, 3, 4, 30)
    assert searched == [3000, 3000, 3027, 3054]  # one, and each one to compare with


def test_an_earlier_result_of_other_objects_or_another_length_is_not_used() -> None:
    random = np.random.default_rng(1)
    key, grid, group = World.of(random, 200).arrays()
    memory = Memory(key)
    increments.nearest(memory, "all", key, grid, group, 5)
    assert increments.nearest(memory, "all", key, grid, group, K).index.shape == (200, K)
    other, grid, group = World.of(random, 200).arrays()
    found = increments.nearest(memory, "all", other, grid, group, K)
    np.testing.assert_array_equal(found.index, search.nearest(grid, group, K).index)

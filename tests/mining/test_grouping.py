"""Grouping on arrays gives the trees, closedness and cuts of the plain definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repic import mining
from repic.mining import clustering, linkage, links, positives, similarity
from repic.mining.closedness import closedness
from repic.mining.linkage import average_linkage
from repic.mining.neighbors import Search
from repic.mining.segments import groups_by_size, ranges
from tests.mining import plain_grouping as plain
from tests.mining.test_mining import world


def neighbors(n: int, dim: int, steps: int, seed: int) -> tuple[np.ndarray, ...]:
    """Neighbors by local scale of vectors with few distinct values, so that many are equal."""
    random = np.random.default_rng(seed)
    vectors = random.integers(-steps, steps + 1, size=(n, dim)) + 0.25
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    photo = np.sort(random.integers(0, n, n))
    # Some photos are near-duplicates of others, some identities are known.
    duplicate = photo // random.integers(1, 4)
    identity = np.where(random.random(n) < random.choice([0, 0.3]), random.integers(0, 5, n), -1)
    near = Search().nearest(similarity.on_grid(vectors), duplicate, 128)
    return *clustering.local_scale(near), photo, duplicate, identity


def nodes(forest: linkage.Forest) -> dict[frozenset[int], float]:
    """Members and height of each node."""
    members = [
        frozenset(forest.order[start : start + size].tolist())
        for start, size in zip(forest.start.tolist(), forest.size.tolist(), strict=True)
    ]
    return dict(zip(members, forest.height.tolist(), strict=True))


def check(
    index: np.ndarray,
    scale: np.ndarray,
    photo: np.ndarray,
    duplicate: np.ndarray,
    identity: np.ndarray,
) -> clustering.Groups:
    """Compare every step with the plain one; the mined groups."""
    n = len(index)
    largest = max(2, min(clustering.LARGEST, n // clustering.LEAST_GROUPS))
    theirs = np.where(index >= 0, identity[index], -1)
    differ = (identity[:, None] >= 0) & (theirs >= 0) & (identity[:, None] != theirs)
    index = np.where(differ, -1, index)
    order = np.argsort(-np.where(differ, -(1 << 40), scale.astype(np.int64)), 1, kind="stable")
    index = np.take_along_axis(index, order, 1)[:, :largest]
    scale = np.take_along_axis(scale, order, 1)[:, :largest]
    arguments = (index, scale, photo, duplicate, identity, largest)
    forest, expected = average_linkage(*arguments), plain.average_linkage(*arguments)
    members = [frozenset(group.tolist()) for group in expected.members]
    assert nodes(forest) == dict(zip(members, expected.height, strict=True))

    closed, plain_closed = (
        closedness(forest, index, duplicate),
        plain.closedness(expected, index, duplicate),
    )
    got = dict(zip(nodes(forest), closed.tolist(), strict=True))
    assert {m: got[m] for m in members} == pytest.approx(
        dict(zip(members, plain_closed.tolist(), strict=True)), rel=0, abs=0, nan_ok=True
    )

    chosen = set(np.array(list(nodes(forest)))[clustering._cut(forest, closed, largest)])
    assert chosen == {members[node] for node in plain.cut(expected, plain_closed, largest)}
    return clustering.mine_groups((index, scale), photo, duplicate, identity)[0]


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 60), st.integers(1, 6), st.sampled_from([1, 2, 50]), st.integers(0, 1 << 20))
def test_equal_to_the_plain_definition_also_among_ties(
    n: int, dim: int, steps: int, seed: int
) -> None:
    check(*neighbors(n, dim, steps, seed))


@pytest.mark.parametrize(("sizes", "noise"), [((1, 7), 0.5), ((1, 7), 1.0), ((20, 150), 0.8)])
@pytest.mark.parametrize("burst", [1, 3])
def test_equal_to_the_plain_definition_on_things(
    sizes: tuple[int, int], noise: float, burst: int
) -> None:
    counts = np.random.default_rng(1).integers(*sizes, 600 // sizes[1]).tolist()
    vectors, truth = world(counts, noise=noise)
    n = len(vectors)
    photo, duplicate = np.arange(n), np.arange(n) // burst
    near = Search().nearest(similarity.on_grid(vectors), duplicate, 128)
    for identity in (np.full(n, -1), np.where(np.arange(n) % 3, -1, truth)):
        groups = check(*clustering.local_scale(near), photo, duplicate, identity)
        assert (np.bincount(groups.group, minlength=n)[groups.group] == groups.size).all()


@pytest.mark.parametrize("block", [1, 100, 1 << 21])
@pytest.mark.parametrize("known", [0, 0.3, 1])
def test_positives_are_those_of_each_group_alone(
    block: int, known: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positives, "BLOCK", block)
    vectors, truth = world([1, 2, 3, 4, 5, 8] * 10 + [80], noise=0.9)
    n = len(truth)
    identity = np.where(np.random.default_rng(0).random(n) < known, truth, -1)
    analysis = mining.analyze(vectors, np.arange(n), np.arange(n) // 2, identity)
    pairs = mining.all_positives(analysis)
    for mined, plainly in ((False, plain.labelled), (True, plain.mined)):
        own = pairs.take(pairs.mined == mined)
        expected = set(zip(*(a.tolist() for a in plainly(analysis)), strict=True))
        assert set(zip(own.anchor.tolist(), own.other.tolist(), strict=True)) == expected
        assert len(own) == len(expected)
    assert len(pairs) > 100


def test_blocks_do_not_change_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = world([1, 2, 3, 4, 5] * 20)
    n = len(vectors)
    alone = np.arange(n)
    near = Search().nearest(similarity.on_grid(vectors), alone, 128)

    def mined() -> np.ndarray:
        scaled = clustering.local_scale(near)
        return clustering.mine_groups(scaled, alone, alone, np.full(n, -1))[0].group

    expected = mined()
    assert len(np.unique(expected)) < n
    monkeypatch.setattr(clustering, "ROWS", 7)
    monkeypatch.setattr(links, "ROWS", 7)
    monkeypatch.setattr(links, "SPARE", 0)
    monkeypatch.setattr(linkage, "BLOCK", 50)
    monkeypatch.setattr("repic.mining.closedness.POSITIONS", 11)
    assert (mined() == expected).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_objects_without_neighbors_are_alone(n: int) -> None:
    alone = np.arange(n)
    none = np.full((n, 1), -1, dtype=np.int32)
    groups, _ = clustering.mine_groups((none, none), alone, alone, np.full(n, -1))
    assert groups.group.tolist() == list(range(n))
    assert groups.typical_size == 1


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), max_size=8))
def test_ranges(parts: list[tuple[int, int]]) -> None:
    start, count = (np.array([p[i] for p in parts], dtype=np.int64) for i in (0, 1))
    row, value = ranges(start, count)
    expected = [(i, v) for i, (s, c) in enumerate(parts) for v in range(s, s + c)]
    assert list(zip(row.tolist(), value.tolist(), strict=True)) == expected


@given(st.lists(st.integers(-2, 5), max_size=30), st.integers(1, 40))
def test_groups_by_size(owner: list[int], block: int) -> None:
    parts = list(groups_by_size(np.array(owner, dtype=np.int64), block))
    found = [group for part in parts for group in part.tolist()]
    expected = [[i for i, o in enumerate(owner) if o == group] for group in set(owner)]
    assert sorted(found) == sorted(g for g in expected if len(g) > 1 and owner[g[0]] >= 0)
    assert all(len(part) * part.shape[1] ** 2 <= block or len(part) == 1 for part in parts)

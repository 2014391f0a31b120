"""Identities that look like several subjects."""

from __future__ import annotations

import numpy as np
import pytest

from repic import mining
from repic.mining import spread
from tests.mining.test_mining import look, world


def found(vectors: np.ndarray, identity: np.ndarray) -> set[int]:
    return {each.identity for each in mining.several_groups(look(vectors, identity))}


def test_identities_of_one_subject_each_are_not_suspected() -> None:
    for seed in range(3):
        vectors, identity = world([6] * 12, seed, noise=0.5)
        assert not found(vectors, identity)


def test_identities_of_two_subjects_are_found() -> None:
    vectors, identity = world([6] * 16, categories=16, noise=0.5)
    merged = np.where(identity < 4, identity // 2, identity)
    assert found(vectors, merged) == {0, 1}
    (first, second) = mining.several_groups(look(vectors, merged))
    assert first.sizes == second.sizes == (6, 6)


def test_unlabelled_objects_are_no_identity() -> None:
    vectors, identity = world([6] * 12, categories=12, noise=0.5)
    assert found(vectors, np.where(identity < 6, -1, identity)) == set()
    assert mining.several_groups(look(vectors, np.full(len(vectors), -1))) == []


def test_a_large_identity_is_judged_by_some_of_its_objects() -> None:
    vectors, identity = world([250, *[6] * 10], categories=11, noise=0.4)
    assert not found(vectors, identity)
    vectors, identity = world([5] * 70, categories=70, noise=0.4)
    assert found(vectors, np.where(identity < 40, 0, identity)) == {0}


def test_the_objects_that_are_looked_at_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, identity = world([6] * 16, categories=16, noise=0.5)
    merged = np.where(identity < 8, identity // 2, identity)
    monkeypatch.setattr(spread, "IN_ALL", 24)
    assert found(vectors, merged) <= {0, 1}
    monkeypatch.setattr(spread, "IN_ALL", 3)
    assert found(vectors, merged) == set()

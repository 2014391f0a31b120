"""Splits are stable and proportional, and no group is in two of them."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from repic.config import SplitSettings
from repic.mining.splits import split_of, split_photos

HALVES = SplitSettings(validation=0.25, test=0.25)
names = st.text("abcdef", min_size=1, max_size=3)


def test_shares_are_met() -> None:
    counts = Counter(split_of(f"identity-{i}", HALVES) for i in range(4000))
    assert abs(counts["train"] - 2000) < 150
    assert abs(counts["test"] - 1000) < 120


def test_salt_draws_anew() -> None:
    other = SplitSettings(validation=0.25, test=0.25, salt="other")
    assert any(split_of(str(i), HALVES) != split_of(str(i), other) for i in range(50))


@given(st.dictionaries(names, names), st.lists(st.tuples(names, names)))
def test_no_group_and_no_near_duplicate_crosses(
    clusters: dict[str, str], groups: list[tuple[str, str]]
) -> None:
    labelled = [(photo, group) for photo, group in groups if photo in clusters]
    splits = split_photos(labelled, clusters, HALVES)
    assert splits.keys() == clusters.keys()
    for photo, cluster in clusters.items():
        together = [p for p, c in clusters.items() if c == cluster]
        assert {splits[p] for p in together} == {splits[photo]}
    for photo, group in labelled:
        assert splits[photo] in (None, split_of(group, HALVES))


def test_adding_photos_moves_no_group() -> None:
    before = split_photos([("a", "x")], {"a": "a"}, HALVES)
    after = split_photos([("a", "x"), ("b", "x")], {"a": "a", "b": "b"}, HALVES)
    assert after["a"] == before["a"] == after["b"]


def test_a_photo_whose_groups_disagree_is_used_nowhere() -> None:
    train = next(n for n in "abcdefghij" if split_of(n, HALVES) == "train")
    test = next(n for n in "abcdefghijklmnopqrst" if split_of(n, HALVES) == "test")
    assert split_photos([("p", train), ("p", test)], {"p": "p"}, HALVES) == {"p": None}

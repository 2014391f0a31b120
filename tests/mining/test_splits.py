"""Splits are stable and proportional, and no group is in two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from hypothesis import given
from hypothesis import strategies as st

from repic.config import SPLITS, SplitSettings
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
    places = places_of(labelled, splits)
    assert all(len(found) <= 1 for found in places.values())
    natural = {g: split_of(g, HALVES) for g in places}
    if set(natural.values()) == set(SPLITS) and all(places.values()):
        assert places == {g: {split} for g, split in natural.items()}


def places_of(
    groups: list[tuple[str, str]], splits: Mapping[str, str | None]
) -> dict[str, set[str]]:
    """The splits that the usable photos of each group are in."""
    places: dict[str, set[str]] = {group: set() for _, group in groups}
    for photo, group in groups:
        if split := splits[photo]:
            places[group].add(split)
    return places


def one_photo_each(group_names: Collection[str]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    return [(f"{g}.jpg", g) for g in group_names], {f"{g}.jpg": f"{g}.jpg" for g in group_names}


TENTHS = SplitSettings()
identities = st.sets(names, min_size=3, max_size=40)


@given(identities)
def test_every_split_with_a_share_has_an_identity(found: set[str]) -> None:
    for settings in (TENTHS, HALVES, SplitSettings(validation=0.9, test=0.09)):
        groups, photos = one_photo_each(found)
        assert set(split_photos(groups, photos, settings).values()) == set(SPLITS)
    only_test = SplitSettings(validation=0, test=0.1)
    assert set(split_photos(groups, photos, only_test).values()) == {"train", "test"}


@given(identities, names)
def test_only_an_identity_that_an_empty_split_needs_moves(found: set[str], new: str) -> None:
    groups, photos = one_photo_each(found)
    splits = split_photos(groups, photos, TENTHS)
    natural = {photo: split_of(group, TENTHS) for photo, group in groups}
    moved = {photo for photo in photos if splits[photo] != natural[photo]}
    empty = set(SPLITS) - set(natural.values())
    assert {splits[photo] for photo in moved} == empty
    assert len(moved) == len(empty)
    # Photos of the same identities change nothing; a new identity, at most what had to move.
    more = split_photos([*groups, ("new", min(found))], {**photos, "new": "new"}, TENTHS)
    assert {photo: more[photo] for photo in photos} == splits
    grown = split_photos(*one_photo_each(found | {new}), TENTHS)
    changed = {photo for photo in photos if grown[photo] != splits[photo]}
    assert len(changed) <= 2 * len(empty)
    assert empty or not changed


def test_identities_of_one_photo_move_together() -> None:
    train = [n for n in map(str, range(60)) if split_of(n, TENTHS) == "train"][:4]
    groups = [("a", train[0]), ("a", train[1]), ("b", train[2]), ("b", train[3])]
    settings = SplitSettings(validation=0, test=0.1)
    splits = split_photos(groups[:4], {"a": "a", "b": "b"}, settings)
    assert sorted(splits.values(), key=str) == ["test", "train"]
    assert split_photos(groups[:2], {"a": "a"}, settings) == {"a": "train"}, "it cannot be parted"


def test_adding_photos_moves_no_group() -> None:
    before = split_photos([("a", "x")], {"a": "a"}, HALVES)
    after = split_photos([("a", "x"), ("b", "x")], {"a": "a", "b": "b"}, HALVES)
    assert after["a"] == before["a"] == after["b"]


def test_a_photo_whose_groups_disagree_is_used_nowhere() -> None:
    train = next(n for n in "abcdefghij" if split_of(n, HALVES) == "train")
    test = next(n for n in "abcdefghijklmnopqrst" if split_of(n, HALVES) == "test")
    assert split_photos([("p", train), ("p", test)], {"p": "p"}, HALVES) == {"p": None}


given_splits = st.dictionaries(names, st.sampled_from(SPLITS))


@given(st.dictionaries(names, names), st.lists(st.tuples(names, names)), given_splits)
def test_what_the_source_holds_back_never_trains(
    clusters: dict[str, str], groups: list[tuple[str, str]], said: dict[str, str]
) -> None:
    clusters |= {photo: photo for photo in said if photo not in clusters}
    labelled = [(photo, group) for photo, group in groups if photo in clusters]
    splits = split_photos(labelled, clusters, HALVES, said)
    held_back = {photo for photo in said if said[photo] != "train"}
    assert all(splits[photo] == said[photo] for photo in held_back)
    assert all(splits[photo] in ("train", None) for photo in said.keys() - held_back)
    training = {photo for photo, split in splits.items() if split == "train"}
    for kin in (labelled, list(clusters.items())):
        names_of = [
            {name for photo, name in kin if photo in side} for side in (held_back, training)
        ]
        assert not names_of[0] & names_of[1]
    # What the source says nothing about is never beside what it does not belong to.
    for group, found in places_of(labelled, splits).items():
        own = {splits[p] for p, g in labelled if g == group and p in held_back}
        assert len(found) <= 1 or found == own == {"validation", "test"}


def test_the_sources_splits_need_no_group_to_fill_them() -> None:
    photos = {str(n): str(n) for n in range(9)}
    groups = [(photo, photo) for photo in photos if photo not in "01"]
    said = dict.fromkeys(photos, "train") | {"0": "test", "1": "validation"}
    splits = split_photos(groups, photos, TENTHS, said)
    assert splits == said
    assert split_photos(groups, photos, TENTHS, dict.fromkeys(photos)) == split_photos(
        groups, photos, TENTHS
    )

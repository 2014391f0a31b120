"""Which pairs are used, and when an object is certainly absent."""

from __future__ import annotations

from typing import Any

import pytest

from repic.objectives import Material
from tests.objectives.tables import Build, image_row, object_row, pair_row


def absent(material: Material, key: dict[str, Any], photo: dict[str, Any]) -> bool:
    return material.is_absent(
        material.objects[key["object_id"]], material.photos[photo["image_id"]]
    )


@pytest.fixture
def things() -> dict[str, dict[str, Any]]:
    return {key: object_row(key, key[0]) for key in ("a", "b", "c", "c2")}


PHOTOS = [image_row(key) for key in "abc"]


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({}, True),
        ({"review": "accept"}, True),
        ({"review": "reject"}, False),
        ({"doubtful": True}, False),
        ({"doubtful": True, "review": "accept"}, True),
        ({"doubtful": True, "review": "reject"}, False),
        ({"split": "test"}, False),
    ],
)
def test_pairs_that_are_used(things: dict, changes: dict, used: bool) -> None:
    pair = pair_row(things["a"], things["b"], "positive", **changes)
    material = Build(PHOTOS, things.values(), [pair]).material
    assert len(material.pairs) == used
    assert sum(material.refused.values()) == (not used)


def test_photos_without_a_split_are_not_used(things: dict) -> None:
    build = Build(PHOTOS, things.values(), [pair_row(things["a"], things["b"], "positive")])
    build.splits[PHOTOS[0]["image_id"]] = None
    assert not build.material.pairs
    assert PHOTOS[0]["image_id"] not in build.material.splits


def test_groups_join_identities_and_positives(things: dict) -> None:
    things["a"]["identity"] = things["c2"]["identity"] = "rex"
    material = Build(
        PHOTOS, things.values(), [pair_row(things["a"], things["b"], "positive", doubtful=True)]
    ).material
    group = {key: material.group(row["object_id"]) for key, row in things.items()}
    assert group["a"] == group["b"] == group["c2"] != group["c"]


def test_nothing_known_is_not_absent(things: dict) -> None:
    assert not absent(Build(PHOTOS, things.values(), []).material, things["a"], PHOTOS[1])


def test_a_negative_pair_makes_absent(things: dict) -> None:
    pair = pair_row(things["a"], things["b"], "negative")
    material = Build(PHOTOS, things.values(), [pair]).material
    assert absent(material, things["a"], PHOTOS[1])
    assert absent(material, things["b"], PHOTOS[0])


def test_another_object_of_the_label_must_be_known_too(things: dict) -> None:
    pair = pair_row(things["a"], things["c"], "negative")
    assert not absent(Build(PHOTOS, things.values(), [pair]).material, things["a"], PHOTOS[2])
    things["c2"]["label"] = "cat"
    assert absent(Build(PHOTOS, things.values(), [pair]).material, things["a"], PHOTOS[2])


def test_the_same_object_elsewhere_in_the_photo_is_not_absent(things: dict) -> None:
    pairs = [
        pair_row(things["a"], things["c"], "negative"),
        pair_row(things["a"], things["c2"], "positive", doubtful=True),
    ]
    assert not absent(Build(PHOTOS, things.values(), pairs).material, things["a"], PHOTOS[2])


def test_labels_decide_where_they_are_known(things: dict) -> None:
    things["a"]["identity"] = "rex"
    things["b"]["identity"] = "bello"
    things["c"]["identity"] = "bello"
    photos = [*PHOTOS[:2], image_row("c", identity="rex")]
    material = Build(photos, things.values(), []).material
    assert absent(material, things["a"], photos[1])
    assert not absent(material, things["a"], photos[2])

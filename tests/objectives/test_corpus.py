"""Which pairs are used, and when an object is certainly absent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from repic.objectives import Corpus
from tests.objectives.tables import Build, image_row, object_row, pair_row


def place(ids: pa.ChunkedArray, wanted: str) -> int:
    return int(ids.to_pylist().index(wanted))


def absent(corpus: Corpus, key: dict[str, Any], photo: dict[str, Any]) -> bool:
    obj = place(corpus.objects["object_id"], key["object_id"])
    query = place(corpus.photos["image_id"], photo["image_id"])
    return bool(corpus.absent(np.array([obj]), np.array([query]))[0])


@pytest.fixture
def objects() -> dict[str, dict[str, Any]]:
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
def test_pairs_that_are_used(objects: dict, changes: dict, used: bool) -> None:
    pair = pair_row(objects["a"], objects["b"], "positive", **changes)
    corpus = Build(PHOTOS, objects.values(), [pair]).corpus
    assert corpus.pairs.num_rows == used
    assert sum(corpus.refused.values()) == (not used)


def test_photos_without_a_split_are_not_used(objects: dict) -> None:
    build = Build(PHOTOS, objects.values(), [pair_row(objects["a"], objects["b"], "positive")])
    build.splits[PHOTOS[0]["image_id"]] = None
    assert not build.corpus.pairs.num_rows
    assert sorted(build.corpus.split.tolist()) == [-1, 0, 0]


def test_groups_join_identities_and_positives(objects: dict) -> None:
    objects["a"]["identity"] = objects["c2"]["identity"] = "rex"
    corpus = Build(
        PHOTOS, objects.values(), [pair_row(objects["a"], objects["b"], "positive", doubtful=True)]
    ).corpus
    ids = corpus.objects["object_id"]
    group = {key: corpus.group[place(ids, row["object_id"])] for key, row in objects.items()}
    assert group["a"] == group["b"] == group["c2"] != group["c"]


def test_nothing_known_is_not_absent(objects: dict) -> None:
    assert not absent(Build(PHOTOS, objects.values(), []).corpus, objects["a"], PHOTOS[1])


def test_a_negative_pair_makes_absent(objects: dict) -> None:
    pair = pair_row(objects["a"], objects["b"], "negative")
    corpus = Build(PHOTOS, objects.values(), [pair]).corpus
    assert absent(corpus, objects["a"], PHOTOS[1])
    assert absent(corpus, objects["b"], PHOTOS[0])


def test_another_object_of_the_label_must_be_known_too(objects: dict) -> None:
    pair = pair_row(objects["a"], objects["c"], "negative")
    assert not absent(Build(PHOTOS, objects.values(), [pair]).corpus, objects["a"], PHOTOS[2])
    objects["c2"]["label"] = "cat"
    assert absent(Build(PHOTOS, objects.values(), [pair]).corpus, objects["a"], PHOTOS[2])


def test_the_same_object_elsewhere_in_the_photo_is_not_absent(objects: dict) -> None:
    pairs = [
        pair_row(objects["a"], objects["c"], "negative"),
        pair_row(objects["a"], objects["c2"], "positive", doubtful=True),
    ]
    assert not absent(Build(PHOTOS, objects.values(), pairs).corpus, objects["a"], PHOTOS[2])


def test_labels_decide_where_they_are_known(objects: dict) -> None:
    objects["a"]["identity"] = "rex"
    objects["b"]["identity"] = "bello"
    objects["c"]["identity"] = "bello"
    photos = [*PHOTOS[:2], image_row("c", identity="rex")]
    corpus = Build(photos, objects.values(), []).corpus
    assert absent(corpus, objects["a"], photos[1])
    assert not absent(corpus, objects["a"], photos[2])


@pytest.mark.parametrize(("origin", "known"), [("folder", True), ("shot", False)])
def test_identities_of_shots_do_not_make_absent_but_pairs_do(
    objects: dict, origin: str, known: bool
) -> None:
    for key, name in (("a", "one"), ("b", "other")):
        objects[key] |= {"identity": name, "identity_origin": origin}
    assert absent(Build(PHOTOS, objects.values(), []).corpus, objects["a"], PHOTOS[1]) is known
    pair = pair_row(objects["a"], objects["b"], "negative")
    assert absent(Build(PHOTOS, objects.values(), [pair]).corpus, objects["a"], PHOTOS[1])

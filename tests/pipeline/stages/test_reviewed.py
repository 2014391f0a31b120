"""What decisions on boxes and identities do to the boxes of a photo."""

from __future__ import annotations

from typing import Any

import pytest

from repic.errors import SchemaError
from repic.images.coordinates import Box
from repic.pipeline import reviews
from repic.pipeline.reviews import Decision, agreed, box_id, parse_box_id
from repic.pipeline.stages.reviewed import BoxReviews, object_id
from repic.tables import TABLES

PHOTO = {"image_id": "photo", "width": 200, "height": 100}
DOG, CAT = Box(10, 10, 60, 60), Box(80, 20, 150, 90)


def detected(box: Box, label: str = "dog", confidence: float = 0.9) -> dict[str, Any]:
    return {
        "object_id": object_id("photo", box, label),
        "image_id": "photo",
        **dict(zip(("x1", "y1", "x2", "y2"), box.as_list(), strict=True)),
        "label": label,
        "confidence": confidence,
        "detector": "d",
        "vocabulary": "v",
        "truncated": False,
        "occluded": None,
        "expressions": ["the one on the left"],
        "nouns": [{"text": label, "probability": 0.5, "broad": False}],
        "identity": None,
    }


def decision(at: Box, decided: str = "accept", who: str = "Ann", **said: Any) -> Decision:
    return {
        "subject": "box",
        "subject_id": box_id("photo", at),
        "decision": decided,
        "reviewer": who,
        "note": None,
        "box": None,
        "label": None,
        "identity": None,
        **said,
    }


def after(decisions: list[Decision], boxes: list[dict[str, Any]]) -> list[tuple[Box, str]]:
    """Boxes and labels of the photo, left to right."""
    found, _ = BoxReviews.of(TABLES["reviews"].table(decisions)).boxes_of(PHOTO, boxes)
    for row in found:
        found_as = row["label"] if row["label_origin"] is None else ""  # here only drawn ones
        assert row["object_id"] == object_id("photo", Box.of_row(row), found_as)
    return sorted((Box.of_row(row).as_list(), row["label"]) for row in found)  # type: ignore[misc]


def test_a_deleted_box_stays_away_whatever_it_is_called() -> None:
    decided = [decision(DOG, "reject")]
    both = [detected(DOG), detected(DOG, "wolf"), detected(CAT, "cat")]
    assert after(decided, both) == [(CAT.as_list(), "cat")]
    nearly = detected(Box(12, 11, 61, 59), "fox")  # of another detector
    assert after(decided, [nearly]) == []
    other = detected(Box(30, 10, 80, 60))
    assert after(decided, [other]) == [([30, 10, 80, 60], "dog")]


def test_the_same_edges_go_before_an_overlap() -> None:
    beside = Box(11, 11, 61, 61)
    kept = after([decision(DOG, "reject")], [detected(beside, "cat"), detected(DOG)])
    assert kept == [(beside.as_list(), "cat")]


def test_a_moved_box_keeps_what_is_known_of_the_thing() -> None:
    moved = Box(12, 14, 70, 66)
    reviewed = BoxReviews.of(TABLES["reviews"].table([decision(DOG, box=moved.as_list())]))
    (row,), counts = reviewed.boxes_of(PHOTO, [detected(DOG)])
    assert Box.of_row(row) == moved
    assert row["reviewed_box"] == DOG.as_list()
    assert row["nouns"]
    assert row["expressions"]
    assert (row["label_origin"], row["confidence"]) == (None, 0.9)
    assert counts == {"changed": 1}


def test_another_label_drops_what_was_known() -> None:
    said = decision(DOG, box=DOG.as_list(), label="fox")
    ((row,), _) = BoxReviews.of(TABLES["reviews"].table([said])).boxes_of(PHOTO, [detected(DOG)])
    assert (row["label"], row["label_origin"], row["confidence"]) == ("fox", "review", 1.0)
    assert (row["nouns"], row["expressions"]) == ([], [])
    assert row["object_id"] == object_id("photo", Box.of_row(row), "dog")
    drawn = [decision(CAT, box=CAT.as_list(), label=label) for label in ("cup", "mug")]
    ids = {
        BoxReviews.of(TABLES["reviews"].table([one])).boxes_of(PHOTO, [])[0][0]["object_id"]
        for one in drawn
    }
    assert len(ids) == 1


def test_a_drawn_box_is_within_the_photo_and_one_even_if_two_draw_it() -> None:
    first, second = Box(150, 50, 260, 99), Box(151, 50, 258, 99)
    drawn = [
        decision(box, who=who, box=box.as_list(), label="cup")
        for box, who in ((first, "Ann"), (second, "Ben"))
    ]
    assert after(drawn, []) == [([150, 50, 200, 99], "cup")]


def test_reviewers_agree_on_the_mean_of_boxes_that_mean_the_same() -> None:
    edges = [[10, 10, 60, 60], [12, 10, 60, 62]]
    said = [
        decision(DOG, who=who, box=box, label=label)
        for who, box, label in zip("AB", edges, (None, "dog"), strict=True)
    ]
    assert agreed(said) == {**said[0], "box": [11, 10, 60, 61], "label": "dog"}
    assert agreed([*said, decision(DOG, "unsure", "C")]) is not None
    assert agreed([*said, decision(DOG, "reject", "C")]) is None
    assert agreed([*said, decision(DOG, who="C", box=CAT.as_list())]) is None
    assert agreed([*said, decision(DOG, who="C", box=edges[0], label="cat")]) is None
    assert agreed([]) is None
    differ = [*said, decision(DOG, "reject", "C")]
    assert after(differ, [detected(DOG)]) == [(DOG.as_list(), "dog")]
    assert BoxReviews.of(TABLES["reviews"].table(differ)).disputed == 1


def test_an_identity_is_that_of_the_box_also_after_it_moved() -> None:
    name = decision(DOG, identity="Rex") | {"subject": "identity"}
    moved = decision(DOG, box=[12, 14, 70, 66])
    reviewed = BoxReviews.of(TABLES["reviews"].table([name, moved]))
    rows, _ = reviewed.boxes_of(PHOTO, [detected(DOG), detected(CAT)])
    assert reviewed.named(PHOTO, rows) == 1
    named = {row.get("identity"): row for row in rows}
    assert Box.of_row(named["Rex"]) == Box(12, 14, 70, 66)
    assert named["Rex"]["identity_origin"] == "review"


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"subject_id": "photo"}, "four numbers"),
        ({"subject_id": "photo:1,2,3,4"}, "image_id:x1,y1,x2,y2"),
        ({"subject_id": ":1.00,2.00,3.00,4.00"}, "image_id:x1,y1,x2,y2"),
        ({"box": None}, "accept needs a box"),
        ({"box": [5, 5, 5.5, 90]}, "by a pixel or more"),
        ({"box": [50, 5, 5, 90]}, "x1 is left of x2"),
        ({"box": [-1, 5, 50, 90]}, "from 0 on"),
        ({"box": [0, 0, float("nan"), 9]}, "is no box"),
        ({"box": [0, 0, 1e9, 9]}, "is no box"),
        ({"label": "x" * 300}, "at most 200"),
        ({"label": "a\nb"}, "one line"),
        ({"subject": "identity", "identity": None}, "accept and the identity"),
        ({"subject": "identity", "decision": "reject"}, "accept and the identity"),
    ],
)
def test_nonsense_is_refused(change: dict[str, Any], hint: str) -> None:
    with pytest.raises(SchemaError, match=f"^line 3: .*{hint}"):
        reviews.checked({**decision(DOG, box=[1, 2, 30, 40]), **change}, "line 3")


def test_a_box_is_named_by_its_photo_and_edges() -> None:
    box = Box(0.125, 3, 10.13, 1234.5)
    name = box_id("a:b", box)
    assert name == "a:b:0.12,3.00,10.13,1234.50"
    assert parse_box_id(name) == ("a:b", box.round(2))

"""One label per identity, or a reason why there is none."""

from __future__ import annotations

from typing import Any

import pytest

from repic.config import load
from repic.pipeline.scan import Scan
from repic.pipeline.stages.base import Inputs
from repic.pipeline.stages.labels import LabelStage
from repic.tables import TABLES
from tests.objectives.tables import image_row, object_row


def noun(text: str, probability: float, broad: bool = False) -> dict[str, Any]:
    return {"text": text, "probability": probability, "broad": broad}


def labels(
    objects: list[dict[str, Any]], photos: list[dict[str, Any]] | None = None, group: str = "rex"
) -> list[tuple[str | None, str | None, str | None]]:
    """Label, origin and reason of each object; all are in one group."""
    images = photos or [image_row(str(i)) for i in range(len(objects))]
    groups = [
        {
            "object_id": row["object_id"],
            "image_id": row["image_id"],
            "group": group,
            "origin": "mined",
            "split": "train",
        }
        for row in objects
    ]
    tables = {
        "images": TABLES["images"].table(images),
        "objects": TABLES["objects"].table(objects),
        "groups": TABLES["groups"].table(groups),
    }
    settings = load("photos", ("labels.min_probability=0.6", "labels.min_broad_probability=0.4"))
    rows = LabelStage().run(Inputs(settings, Scan((), ()), tables)).tables["labels"].to_pylist()
    by_id = {row["object_id"]: row for row in rows}
    found = [by_id[row["object_id"]] for row in objects]
    return [(row["label"], row["origin"], row["unspoken"]) for row in found]


def seen(*nouns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [object_row(str(i), str(i), label="?", nouns=list(n)) for i, n in enumerate(nouns)]


def test_all_photos_of_an_identity_decide_together() -> None:
    both = seen([noun("pug", 0.9), noun("mug", 0.05)], [noun("pug", 0.5), noun("mug", 0.4)])
    assert labels(both) == [("pug", "detector", None)] * 2
    doubtful = seen([noun("pug", 0.9)], [noun("pug", 0.1)])
    assert labels(doubtful) == [(None, None, "uncertain")] * 2


def test_a_broad_noun_is_said_where_the_specific_ones_are_unsure() -> None:
    photo = [noun("pug", 0.3), noun("boxer", 0.3), noun("dog", 0.8, broad=True)]
    assert labels(seen(photo, photo)) == [("dog", "detector", None)] * 2


def test_a_noun_that_only_some_photos_show_is_not_said() -> None:
    assert labels(seen([noun("pug", 0.99)], [noun("mug", 0.99)])) == [(None, None, "uncertain")] * 2


def test_the_words_of_the_owner_win_for_the_whole_identity() -> None:
    objects = seen([noun("pug", 0.9)], [noun("pug", 0.9)], [noun("pug", 0.9)])
    photos = [image_row("0", label="old dog"), image_row("1"), image_row("2", label="old dog")]
    assert labels(objects, photos) == [("old dog", "owner", None)] * 3


def test_the_owner_may_call_one_photo_something_else() -> None:
    objects = seen([], [], [])
    photos = [image_row(str(i), label=label) for i, label in enumerate(("mug", "cup", "mug"))]
    assert [label for label, _, _ in labels(objects, photos)] == ["mug", "cup", "mug"]


def test_a_box_of_the_owner_has_its_own_label() -> None:
    box = {"box": [100.0, 100.0, 300.0, 300.0], "label": "red mug", "identity": None}
    box |= {"expressions": [], "truncated": None, "occluded": None}
    photos = [image_row("0", annotations=[box])]
    assert labels([object_row("0", "0", label="red mug", main=False)], photos) == [
        ("red mug", "owner", None)
    ]


@pytest.mark.parametrize(
    ("label", "expected"),
    [("dog", ("dog", "detector", None)), ("", (None, None, "unknown"))],
)
def test_a_detector_without_probabilities_is_believed(
    label: str, expected: tuple[str | None, str | None, str | None]
) -> None:
    assert labels([object_row("0", "0", label=label)]) == [expected]

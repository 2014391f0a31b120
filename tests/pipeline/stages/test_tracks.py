"""Which frames of a shot show one object."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from repic.mining.pairs import ObjectPairs
from repic.pipeline.stages.tracks import doubted, followed


def _box(x: float, label: str = "dog", side: float = 10.0) -> dict:
    corners = {"x1": x, "y1": 0.0, "x2": x + side, "y2": side}
    return {**corners, "label": label, "confidence": 0.9, "object_id": f"{label}{x}{side}"}


def _frames(shot: str, *stamps: int) -> list[dict]:
    uri = "file:///v.mp4#pts="
    return [{"image_id": f"{shot}{n}", "uri": f"{uri}{n}", "identity": shot} for n in stamps]


def _named(frames: list[dict], boxes: dict[str, list[dict]]) -> list[str | None]:
    return [photo["identity"] for photo in followed(frames, boxes)]


def test_a_shot_is_one_object_while_its_box_stays() -> None:
    frames = _frames("s", 30, 4, 100, 9)
    boxes = {f"s{stamp}": [_box(x)] for stamp, x in ((4, 0.0), (9, 2.0), (30, 9.0), (100, 10.0))}
    assert _named(frames, boxes) == [f"s object {n}" for n in (2, 1, 2, 1)]


def test_another_label_another_main_object_and_a_gap_end_it() -> None:
    frames = _frames("s", 1, 2, 3, 4, 5)
    boxes = {
        "s1": [_box(0.0)],
        "s2": [_box(0.0, "cat")],
        "s3": [_box(0.0), _box(50.0, side=20.0)],
        "s5": [_box(50.0, side=20.0)],
    }
    assert _named(frames, boxes) == [
        "s object 1",
        "s object 2",
        "s object 3",
        None,
        "s object 4",
    ]


def test_shots_stay_apart_and_other_photos_keep_their_identity() -> None:
    frames = [*_frames("a", 1), *_frames("b", 2), *_frames("c", 3), *_frames("d", 4)]
    frames[2]["identity"] = None
    frames[3] |= {"uri": "file:///d.jpg"}
    boxes = {key: [_box(0.0)] for key in ("a1", "b2", "c3", "d4")}
    assert _named(frames, boxes) == ["a object 1", "b object 1", None, "d"]


def test_a_word_of_both_frames_is_enough() -> None:
    frames = _frames("s", 1, 2, 3)
    nouns = [[{"text": "can"}, {"text": "cup"}], [{"text": "cup"}], [{"text": "hat"}]]
    boxes = {
        f"s{n + 1}": [{**_box(0.0, label), "nouns": nouns[n]}]
        for n, label in enumerate(("milk can", "bottle", "velvet"))
    }
    assert _named(frames, boxes) == ["s object 1", "s object 1", "s object 2"]


def test_objects_that_may_be_one_in_two_shots_are_no_negatives() -> None:
    names = ["video a shot 1 object 1", "video a shot 2 object 1", "video b shot 1 object 1"]
    objects = pa.table(
        {
            "object_id": list("012345"),
            "identity": [*names, names[2], "rex", None],
            "identity_origin": ["shot"] * 4 + ["folder", None],
            "label": ["dog", "mug", "cat", "lynx", "dog", "wolf"],
        }
    )
    described = pa.table(
        {"object_id": list("012345"), "nouns": [[], [], [], [{"text": "wolf"}], [], []]}
    )
    anchor, other = np.array([[0, 1], [0, 2], [0, 4], [2, 5], [1, 4], [4, 5]]).T
    pairs = ObjectPairs(anchor, other, *(np.zeros(6),) * 5, np.array([False] * 6))
    doubts = doubted(pairs, objects, described).doubtful.tolist()
    assert doubts == [True, False, True, True, False, False]
    none = objects.set_column(2, "identity_origin", pa.nulls(6, pa.string()))
    assert doubted(pairs, none, described) is pairs

"""Expressions of the source for boxes that a detector drew."""

from __future__ import annotations

from typing import Any

from repic import config
from repic.pipeline.stages.objects import ObjectStage, _with_expressions

RED, BLUE = [0, 0, 40, 40], [60, 60, 100, 100]


def annotated(box: list[int], *expressions: str) -> dict[str, Any]:
    return {"box": box, "label": "mug", "identity": None, "expressions": list(expressions)}


def drawn(name: str, x1: float, y1: float, x2: float, y2: float, *said: str) -> dict[str, Any]:
    return {"object_id": name, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "expressions": list(said)}


ANNOTATIONS = [annotated(RED, "the red mug", "the left mug"), annotated(BLUE, "the blue mug")]


def said(*boxes: dict[str, Any]) -> dict[str, list[str]]:
    return {b["object_id"]: b["expressions"] for b in _with_expressions(list(boxes), ANNOTATIONS)}


def test_a_box_takes_those_of_the_object_that_it_is_of() -> None:
    expressions = said(drawn("a", 2, 1, 40, 41), drawn("b", 58, 60, 99, 101))
    assert expressions == {"a": ["the red mug", "the left mug"], "b": ["the blue mug"]}


def test_less_than_half_is_another_thing() -> None:
    assert said(drawn("a", 0, 0, 40, 19)) == {"a": []}
    assert said(drawn("a", 0, 0, 40, 20)) == {"a": ["the red mug", "the left mug"]}
    assert said() == {}
    assert _with_expressions([drawn("a", *RED)], []) == [drawn("a", *RED)]


def test_of_two_boxes_of_one_object_the_better_one_gets_them() -> None:
    for boxes in (("a", "b"), ("b", "a")):
        places = {"a": (0, 0, 38, 40), "b": (0, 0, 40, 40)}
        expressions = said(*(drawn(name, *places[name]) for name in boxes))
        assert expressions == {"a": [], "b": ["the red mug", "the left mug"]}


def test_what_a_box_brings_along_stays() -> None:
    assert said(drawn("a", *RED, "the mug of Jo")) == {"a": ["the mug of Jo"]}


def test_off_it_leaves_the_recipe_of_old_versions_as_it_was() -> None:
    off = config.load("photos", source={"kind": "folder", "path": "photos"})
    detector = config.load("sample").detector
    assert detector.expressions == "annotation"
    on = off.model_copy(update={"detector": detector})
    assert ObjectStage().recipe(off) == {"identity": off.sources[0].identity}
    assert ObjectStage().fingerprint(off) != ObjectStage().fingerprint(on)

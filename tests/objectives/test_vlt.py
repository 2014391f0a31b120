"""VLT: referring expressions, rows, reward."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.config import ExampleSettings
from repic.config import VltSettings as Settings
from repic.images.coordinates import INTERNVL, NORMALIZED, QWEN2_VL, QWEN3_VL, Box, Convention
from repic.objectives.base import Mode, ObjectiveSummary
from repic.objectives.vlt import TEMPLATES, Vlt, question
from tests.objectives.tables import Build, image_row, object_row
from tests.timing import is_within

ANNOTATION = {"box": [0.0, 0.0, 9.0, 9.0], "label": "dog", "expressions": []}


def rows_of(
    *objects: dict[str, Any], annotations: int = 0, **changes: Any
) -> tuple[list[dict[str, Any]], ObjectiveSummary]:
    photo = image_row("a", annotations=[ANNOTATION] * annotations)
    settings = ExampleSettings(vlt=Settings(**changes))
    return Build([photo], objects, []).examples("vlt", settings)


def test_a_row() -> None:
    [row], summary = rows_of(object_row("a", "a"))
    assert (row["kind"], row["answer"], row["box"]) == ("label", "{box}", [100, 100, 300, 300])
    assert row["prompt"][0] == {"type": "image", "text": ""}
    assert "the dog" in row["prompt"][1]["text"]
    assert "JSON" in row["prompt"][1]["text"]
    assert summary.why is None


@pytest.mark.parametrize(
    ("label", "words"),
    [("sunglasses", ("Where are the sunglasses?", "their")), ("dog", ("Where is the dog?", "its"))],
)
def test_the_question_follows_the_number_of_the_label(label: str, words: tuple[str, str]) -> None:
    assert question(TEMPLATES[0], label).startswith(words[0])
    assert f"with {words[1]} bounding box" in question(TEMPLATES[0], label)
    assert "the my" not in question(TEMPLATES[0], "my old dog")


def test_an_object_that_nothing_names_is_not_asked_for() -> None:
    rows, summary = rows_of(object_row("a", "a", label=""))
    assert not rows
    assert summary.refused["no_label_is_sure"] == 1
    assert rows_of(object_row("a", "a", label="", expressions=["a red mug"]))[0]


def test_a_label_must_point_to_one_object() -> None:
    assert not rows_of(object_row("a", "a", same_label_count=2))[0]
    assert not rows_of(object_row("a", "a"), object_row("b", "a", label="Dog "))[0]
    assert not rows_of(object_row("a", "a"), annotations=2)[0]
    assert rows_of(object_row("a", "a"), annotations=1)[0]


def test_an_expression_must_be_the_objects_alone() -> None:
    two = {"same_label_count": 2}
    left = object_row("a", "a", expressions=["the dog on the left", "a brown dog"], **two)
    right = object_row("b", "a", expressions=["Brown dog.", "dog"], **two)
    rows, summary = rows_of(left, right)
    assert [row["kind"] for row in rows] == ["expression"]
    assert "the dog on the left" in rows[0]["prompt"][1]["text"]
    assert summary.refused["no_expression_for_it_alone"] == 1


def test_size_and_number_are_limited() -> None:
    labels = ("dog", "cat", "mug", "car")
    objects = [object_row(label, "a", label=label) for label in labels]
    assert len(rows_of(*objects)[0]) == 2
    assert len(rows_of(*objects, max_per_photo=9)[0]) == 4
    rows, summary = rows_of(*objects, max_area_share=0.01)
    assert not rows
    assert summary.refused["too_large"] == 4
    assert summary.why is not None


ROW = {"images": [{"width": 1_000, "height": 500}], "box": [100.0, 100.0, 500.0, 400.0]}
RIGHT = '{"bbox_2d": [100, 200, 500, 800]}'


def score(text: str, mode: Mode = "strict", convention: Convention = QWEN3_VL) -> float:
    return Vlt().reward(text, ROW, mode, convention).total


@pytest.mark.parametrize("convention", [QWEN2_VL, QWEN3_VL, INTERNVL, NORMALIZED])
def test_the_true_box_scores_in_every_family(convention: Convention) -> None:
    text = convention.render(Box.of(ROW["box"]), 1_000, 500)
    reward = Vlt().reward(text, ROW, "strict", convention)
    assert reward.total == pytest.approx(1)
    assert reward.reason == "right"
    assert json.dumps(reward.parsed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("on the left", "missing"),
        ("[500, 800, 100, 200]", "inverted"),
        ("[100, 200, 500, 800] [1, 2, 3, 4]", "several"),
        ("[100, 200, 500, 8000]", "outside"),
        ("[0.1, 0.2, 0.5, 0.8]", "convention"),
        ('{"bbox_2d": [100, 200, 500, 800], "bbox_2d": [100, 200, 500, 800]}', "duplicate-key"),
    ],
)
def test_a_malformed_answer_scores_0_with_a_reason(text: str, reason: str) -> None:
    reward = Vlt().reward(text, ROW, "strict", QWEN3_VL)
    assert (reward.total, reward.reason, reward.parsed) == (0, reason, None)


ASKED = {
    **ROW,
    "prompt": [{"text": "Find the man without a hat, and give its bbox_2d as JSON, nothing else."}],
}
BOX = "[100, 200, 500, 800]"


@pytest.mark.parametrize(
    "text",
    [
        *(BOX, f"Here is the box: {BOX}", f"The man without a hat is at {BOX}.", f"man: {BOX}"),
        *(f'{{"bbox_2d": {BOX}, "label": "man without a hat", "confidence": 0.9}}',),
        *(f'{{"the man": {BOX}}}', f'{{"objects": [{{"bbox_2d": {BOX}, "label": "hats"}}]}}'),
        *("Box: 100, 200, 500, 800", "<bbox>100, 200, 500, 800</bbox>", f"**{BOX}**", f"- {BOX}"),
        *(f"<ref>the man</ref>{BOX}", f"```json\n{BOX}\n```", f"THE MAN WITHOUT A HAT {BOX}"),
    ],
)
def test_words_that_announce_a_box_or_repeat_the_question_cost_nothing(text: str) -> None:
    assert Vlt().reward(text, ASKED, "strict", QWEN3_VL).total == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"Not {BOX}", "denied"),
        (f"There is no man in {BOX}", "denied"),
        (f"The man isn\u2019t at {BOX}", "denied"),
        (f"nothing: {BOX}", "denied"),
        (f'{{"bbox_2d": {BOX}, "label": "not the man"}}', "denied"),
        (f"{BOX} or so", "denied"),
        (f"I refuse. {BOX}", "denied"),
        (f"Elsewhere: {BOX}", "other-words"),
        (f'{{"bbox_2d": {BOX}, "label": "a pizza"}}', "other-words"),
        (f'{{"decoy": {BOX}}}', "other-words"),
        (f"<ref>a pizza</ref>{BOX}", "other-words"),
        (f"nein, {BOX}", "other-words"),
        (f"{BOX}?", "denied"),
        (f"~~{BOX}~~", "denied"),
        (f"!= {BOX}", "denied"),
        (f"<!-- {BOX} -->", "denied"),
        (f"\u2260{BOX}", "denied"),
        (f'{{"bbox_2d": {BOX}, "confidence": 0.01}}', "denied"),
        (f'{{"wrong_box": {BOX}}}', "other-words"),
    ],
)
def test_words_that_deny_a_box_or_are_about_another_thing_forfeit_it(
    text: str, reason: str
) -> None:
    reward = Vlt().reward(text, ASKED, "strict", QWEN3_VL)
    assert (reward.total, reward.reason) == (0, reason)


@given(st.lists(st.text("bdfgklpqz", min_size=4, max_size=9), min_size=1, max_size=6))
def test_unknown_words_beside_a_box_forfeit_it(words: list[str]) -> None:
    for text in (f"{' '.join(words)} {BOX}", f'{{"bbox_2d": {BOX}, "label": "{" ".join(words)}"}}'):
        assert Vlt().reward(text, ASKED, "strict", QWEN3_VL).reason == "other-words"


def test_where_the_question_is_not_known_only_denials_cost() -> None:
    assert score(f"The dog is at {BOX}") == pytest.approx(1)
    assert score(f"The dog is not at {BOX}") == 0


@given(st.integers(0, 399), st.integers(0, 399))
def test_reward_rises_with_the_overlap(first: int, second: int) -> None:
    def shifted(by: int) -> tuple[float, float]:
        box = Box(100 + by, 100, 500 + by, 400)
        text = QWEN3_VL.render(box, 1_000, 500)
        return box.iou(Box.of(ROW["box"])), score(text)

    (iou, total), (other_iou, other_total) = shifted(first), shifted(second)
    assert (iou > other_iou) == (total > other_total)


def test_paper_mode_keeps_the_holes() -> None:
    assert score("[100, 200, 500, 800] [1, 2, 3, 4]", "paper") == 1
    assert score("blah [100,200, 500,800] blah" * 50, "paper") == 1
    assert score("[ 100, 200, 500, 800]", "paper") == 0
    assert score("[100.0, 200, 500, 800]", "paper") == 0
    assert score("[100, 200, 500, 500]", "paper") == 1  # IoU is 0.5 exactly
    assert score("[100, 200, 500, 499]", "paper") == 0


@given(
    st.one_of(st.text(max_size=200), st.text('[](){}<>|0123456789.,-"box_2d: ', max_size=60)),
    st.sampled_from(["strict", "paper"]),
)
def test_any_text_scores_within_bounds(text: str, mode: Mode) -> None:
    assert 0 <= score(text, mode) <= 1
    assert score(text, mode) == score(text, mode)


@pytest.mark.parametrize("unit", ["[", "1", "[1,", "{", "(1,2),", "`", " ", "<box>", "[1, 2, 3, "])
@pytest.mark.parametrize("mode", ["strict", "paper"])
def test_a_huge_answer_is_quick(unit: str, mode: Mode) -> None:
    text = unit * (1_000_000 // len(unit))
    assert is_within(0.05, lambda: (score(text, mode), score(text[:2_000], mode)))

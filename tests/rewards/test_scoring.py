"""Scores of completions for rows of every objective."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.captions.facts import FORMER_NAMES, Facts
from repic.errors import RowError
from repic.rewards.scoring import check_row, score

OCT: dict[str, Any] = {"objective": "oct", "answer": "yes"}
VLT: dict[str, Any] = {
    "objective": "vlt",
    "images": [{"width": 1000, "height": 500}],
    "box": [100.0, 100.0, 500.0, 400.0],
}
ICT: dict[str, Any] = {
    "objective": "ict",
    "kind": "mixed",
    "prompt": [{"type": "text", "text": "Describe this picture."}],
    "answer": "<Ann>",
    "caption": "<Ann> and a plain blue car on grass.",
    "references": [
        {"name": "Ann", "info": "", "present": True},
        {"name": "Bob", "info": "A star.", "present": False},
    ],
    "scene": [
        {"name": "Ann", "label": "mug", "phrases": ["the red mug"], "box": [0, 0, 9, 9]},
        {"name": None, "label": "car", "phrases": ["the plain blue car"], "box": [9, 9, 18, 18]},
    ],
    "distinctive_words": ["red", "mug", "blue", "car", "grass"],
    "distractor_words": ["star", "green", "snow", "fish"],
}
WHICH: dict[str, Any] = {**ICT, "kind": "which", "box": [0, 0, 9, 9], "caption": None}
ROWS = [OCT, VLT, ICT, WHICH]


@pytest.mark.parametrize("row", ROWS)
def test_honest_rows_pass(row: dict[str, Any]) -> None:
    check_row(row)


def test_honest_answers() -> None:
    assert score("Yes.", OCT).total == 1
    assert score("[100, 200, 500, 800]", VLT).total == pytest.approx(1)
    assert score("<Ann> and a plain blue car on grass.", ICT).total == 1
    assert score("Ann", WHICH).total == 1
    assert score("<Bob>", WHICH).reason == "wrong_name"
    assert score("none", {**WHICH, "answer": "none"}).total == 1


def test_a_box_may_be_scored_by_a_threshold() -> None:
    half = "[100, 200, 300, 800]"  # IoU 0.5 with the true box
    assert score(half, VLT).total == pytest.approx(0.5)
    assert score(half, VLT, iou_threshold=0.4).total == 1
    above = score(half, VLT, iou_threshold=0.6)
    assert (above.total, above.reason) == (0, "wrong")
    assert above.components["iou"] == pytest.approx(0.5)
    assert score("here", VLT, iou_threshold=0) == score("here", VLT)
    assert score("Yes.", OCT, iou_threshold=1).total == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<Ann> and a green fish in snow, a star among stars, so it goes on and on.", "unfounded"),
        ("<Ann> is the blue car; the red mug stands on grass with a plain look.", "wrong_object"),
        ("<Ann> and <Bob> and a plain blue car on grass.", "wrong_name"),
    ],
)
def test_untrue_captions(text: str, reason: str) -> None:
    result = score(text, ICT)
    assert result.reason == reason
    assert result.total < 1


def test_components_of_what_is_unknown_are_absent() -> None:
    bare = {key: value for key, value in ICT.items() if key not in ("scene", "distinctive_words")}
    result = score("<Ann> is the blue car on grass and so is much else around here.", bare)
    assert result.components.keys() - {"language"} == {"names", "content", "variety"}


def test_former_column_names_are_read() -> None:
    former = {FORMER_NAMES.get(name, name): value for name, value in ICT.items()}
    check_row(former)
    for text in ("<Ann> and a plain blue car on grass.", "<Ann> and a star, a fish, snow."):
        assert score(text, former) == score(text, ICT)


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        {},
        {"objective": "dance"},
        {"objective": ["oct"]},
        {"objective": "oct"},
        {"objective": "oct", "answer": 1},
        {**VLT, "box": None},
        {**VLT, "box": [1, 2, 3]},
        {**VLT, "images": []},
        {**VLT, "images": [{"width": 0, "height": 5}]},
        {**VLT, "images": "photo.jpg"},
        {**VLT, "images": [{**VLT["images"][0], "crop": "left"}]},
        {**VLT, "images": [{**VLT["images"][0], "crop": [1, 2]}]},
        {**VLT, "images": [{**VLT["images"][0], "short_side": "512"}]},
        {**VLT, "prompt": [{"text": 5}]},
        {**ICT, "references": [{"name": "Ann"}]},
        {**ICT, "references": [{"name": 1, "info": "", "present": True}]},
        {**ICT, "scene": [{}]},
        {**ICT, "prompt": [{"type": "text"}]},
        {**ICT, "distinctive_words": "red"},
        {**ICT, "telling": "red"},
        {**ICT, "caption": 7},
        {**ICT, "distractor_words": [1]},
        {**ICT, "elsewhere": [1]},
        {**ICT, "scene": [{**ICT["scene"][0], "box": [1, 2, 3, float("nan")]}]},
        {**ICT, "references": [{"name": " ", "info": "", "present": True}]},
    ],
)
def test_rows_that_cannot_be_scored(row: Any) -> None:
    with pytest.raises(RowError):
        check_row(row)


def test_an_unknown_objective() -> None:
    with pytest.raises(RowError, match="dance"):
        score("", {"objective": "dance"})


@given(
    st.sampled_from(ROWS),
    st.one_of(
        st.text(max_size=300),
        st.lists(
            st.sampled_from(
                ["Ann", "<Ann>", "Bob", "or", "maybe", "not", ",", ".", "is", "the", "red"]
            ),
            max_size=40,
        ).map(" ".join),
    ),
    st.sampled_from(["strict", "paper"]),
)
def test_bounded_and_deterministic(row: dict[str, Any], text: str, mode: Any) -> None:
    result = score(text, row, mode)
    assert 0 <= result.total <= 1
    assert all(0 <= value <= 1 for value in result.components.values())
    assert score(text, row, mode) == result


@given(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6))
def test_facts_are_monotone(true: int, false: int, enough: int) -> None:
    facts = Facts(frozenset("abcdef"), frozenset("uvwxyz"), enough)
    words = [*"abcdef"[:true], *"uvwxyz"[:false]]
    total = facts.score(words)
    assert 0 <= total <= 1
    assert facts.score([*words, "f"]) >= total
    assert facts.score([*words, "z"]) <= total
    assert facts.score([*words, "neutral"]) == total

"""OCT: rows and reward."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.config import ExampleSettings
from repic.config import OctSettings as Settings
from repic.images.coordinates import QWEN3_VL
from repic.objectives.base import Mode, ObjectiveSummary
from repic.objectives.oct import INSTRUCTION, Oct
from tests.objectives.tables import Build, image_row, labelled_build, object_row, pair_row
from tests.timing import is_within


def rows_of(build: Build, **changes: Any) -> tuple[list[dict[str, Any]], ObjectiveSummary]:
    return build.examples("oct", ExampleSettings(oct=Settings(**changes)))


@pytest.fixture(scope="module")
def world() -> Build:
    return labelled_build()


def test_a_row(world: Build) -> None:
    rows, _ = rows_of(world)
    pairs = {pair["pair_id"]: pair for pair in world.pairs.to_pylist()}
    for row in rows:
        [pair_id] = row["pair_ids"]
        pair = pairs[pair_id]
        assert row["kind"] == pair["kind"]
        assert row["answer"] == ("yes" if pair["kind"] == "positive" else "no")
        assert (row["band"], row["similarity"]) == (pair["band"], pair["similarity"])
        picture, query = row["images"]
        assert picture["image_id"] == pair["anchor_image_id"]
        assert picture["crop"] != [0.0, 0.0, 640.0, 480.0]
        assert query["image_id"] == pair["other_image_id"]
        assert query["crop"] == [0.0, 0.0, 640.0, 480.0]
        [reference] = row["references"]
        assert reference["present"] == (row["answer"] == "yes")
        question = row["prompt"][-1]["text"]
        assert f"<{reference['name']}>" in question
        assert question.endswith(INSTRUCTION)


def test_balance_and_bands(world: Build) -> None:
    rows, _ = rows_of(world)
    kinds = Counter(row["kind"] for row in rows)
    assert kinds["positive"] == kinds["negative"] > 40
    bands = Counter(row["band"] for row in rows if row["kind"] == "negative")
    assert bands["hard"] == pytest.approx(kinds["negative"] * 0.5, abs=8)
    few, _ = rows_of(world, negatives_per_positive=0.25, band_shares={"easy": 1.0})
    assert {row["band"] for row in few if row["kind"] == "negative"} == {"easy"}
    assert Counter(row["kind"] for row in few)["negative"] == round(kinds["positive"] * 0.25)


def test_a_band_that_runs_short_leaves_its_share() -> None:
    photos = [image_row(str(n)) for n in range(20)]
    objects = [object_row(str(n), str(n)) for n in range(20)]
    pairs = [pair_row(objects[n], objects[n + 1], "positive") for n in range(0, 10, 2)]
    pairs += [pair_row(objects[n], objects[n + 10], "negative", band="easy") for n in range(9)]
    rows, _ = rows_of(Build(photos, objects, pairs))
    assert Counter(row["kind"] for row in rows) == {"positive": 5, "negative": 5}


def test_a_query_that_may_hold_the_anchor_is_no_negative() -> None:
    a, b, b2 = object_row("a", "a"), object_row("b", "b"), object_row("b2", "b")
    pairs = [pair_row(a, b, "negative"), pair_row(a, b2, "positive")]
    rows, summary = rows_of(Build([image_row("a"), image_row("b")], [a, b, b2], pairs))
    assert [row["kind"] for row in rows] == ["positive"]
    assert summary.refused["anchor_may_be_in_the_query"] == 1


def score(text: str, answer: str = "yes", mode: Mode = "strict") -> float:
    return Oct().reward(text, {"answer": answer}, mode, QWEN3_VL).total


@pytest.mark.parametrize("text", ["yes", "Yes", "YES.", " yes\n", "Yes!", "\tyes. "])
def test_the_right_word_alone_scores(text: str) -> None:
    assert score(text) == 1
    assert score(text, "no") == 0


@pytest.mark.parametrize(
    "text",
    [
        *("", "eyes", "yes, it is not", "yes no", "yes or no", "I cannot determine", "another yes"),
        *("ye\u017f", "y e s", "\uff59\uff45\uff53", "y\u200bes", "<answer>yes</answer>", "yes?"),
        *("oui", "yesyes", "yes yes", "**yes**"),
    ],
)
def test_anything_else_does_not(text: str) -> None:
    reward = Oct().reward(text, {"answer": "yes"}, "strict", QWEN3_VL)
    assert (reward.total, reward.reason) == (0, "malformed")


def test_paper_mode_keeps_the_holes() -> None:
    assert score("my eyes", "yes", "paper") == 1
    assert score("I cannot determine", "no", "paper") == 1
    assert score("another picture, yes", "yes", "paper") == 0
    assert score("", "no", "paper") == 0


@given(st.text(max_size=200), st.sampled_from(["yes", "no"]), st.sampled_from(["strict", "paper"]))
def test_any_text_scores_within_bounds(text: str, answer: str, mode: Mode) -> None:
    assert score(text, answer, mode) in (0, 1)
    assert score(text, answer, mode) == score(text, answer, mode)


@pytest.mark.parametrize("text", ["yes" * 330_000, " " * 1_000_000 + "yes", "n" * 1_000_000])
@pytest.mark.parametrize("mode", ["strict", "paper"])
def test_a_huge_answer_is_quick(text: str, mode: Mode) -> None:
    assert is_within(0.05, lambda: score(text, mode=mode))

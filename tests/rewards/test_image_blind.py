"""Answers that ignore the photo: what is chosen on train, and what it earns."""

from __future__ import annotations

from typing import Any

import pytest

from repic.images.coordinates import QWEN3_VL
from repic.objectives import general_caption, lazy_answers
from repic.rewards import image_blind
from repic.rewards.image_blind import BlindEarning, measure
from tests.builds import Built

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows(built: Built) -> Rows:
    found: Rows = built.store.read("examples@latest").to_pylist()
    return found


def of(earnings: list[BlindEarning], objective: str, split: str = "train") -> BlindEarning:
    [found] = (e for e in earnings if (e.objective, e.split) == (objective, split))
    return found


def test_one_word_earns_the_share_of_the_more_frequent_answer_of_train(rows: Rows) -> None:
    oct_rows = [row for row in rows if row["objective"] == "oct"]
    yes = [row for row in oct_rows if row["answer"] == "yes"]
    no = [row for row in oct_rows if row["answer"] == "no"]
    train = [{**row, "split": "train"} for row in [*yes[:3], *no[:9]]]
    held_out = [{**row, "split": "test"} for row in yes[3:7]]
    found = measure([*train, *held_out], "strict", QWEN3_VL)
    assert (of(found, "oct").answer, of(found, "oct").reward) == ("no", 0.75)
    assert (of(found, "oct", "test").rows, of(found, "oct", "test").reward) == (4, 0)
    assert measure(held_out, "strict", QWEN3_VL) == []


def test_one_box_earns_its_mean_iou_and_in_paper_mode_its_hits(rows: Rows) -> None:
    [lazy] = (score for score in lazy_answers.measure(rows) if score.split == "train")
    strict, paper = (of(measure(rows, mode, QWEN3_VL), "vlt") for mode in ("strict", "paper"))
    assert strict.reward == pytest.approx(lazy.mean_iou, abs=0.01)
    assert paper.reward == pytest.approx(lazy.hits, abs=0.1)
    assert strict.answer.startswith("the box from ")


def test_captions_of_names_alone_earn_what_the_mode_pays(rows: Rows) -> None:
    """The released rewards take nothing for absent names; ours do, and facts are checked."""
    captions = [r for r in rows if r["objective"] == "ict" and r["kind"] != "which"]
    train = [r for r in captions if r["split"] == "train"]
    paper = of(measure(rows, "paper", QWEN3_VL), "ict")
    assert paper.answer == general_caption.WITH_ALL
    assert paper.reward == pytest.approx(sum(r["kind"] != "absent" for r in train) / len(train))
    unchecked = [{**r, "caption": None, "distinctive_words": []} for r in captions]
    absent = [r for r in unchecked if r["kind"] == "absent"]
    found = of(measure(absent, "strict", QWEN3_VL), "ict")
    assert (found.answer, found.reward > 0.9) == (general_caption.WITH_NONE, True)
    assert of(measure(unchecked, "strict", QWEN3_VL), "ict").reward < 0.9


def test_a_which_question_is_answered_by_a_position_or_none(rows: Rows) -> None:
    which = [{**r, "split": "train"} for r in rows if r["kind"] == "which"]
    found = of(measure(which, "strict", QWEN3_VL), "which")
    assert 1 / 5 <= found.reward < 1
    assert found.rows == len(which)


def test_of_many_rows_some_are_scored(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_blind, "MOST_ROWS", 5)
    found = measure(rows, "strict", QWEN3_VL)
    assert of(found, "oct").rows == 5
    assert measure(rows[::-1], "strict", QWEN3_VL) == found

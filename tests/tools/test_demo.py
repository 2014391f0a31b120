"""What `make demo` says at its end, and that it is so: a wrong reward must not pass."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from typing import Any

import pytest

from repic import config
from repic.captions.facts import NO_FACTS
from repic.images.coordinates import QWEN3_VL
from repic.objectives import caption_reward
from repic.objectives.base import Reward
from repic.pipeline.execution import build
from repic.pipeline.scan import scan
from repic.rewards.held_out import HeldOutAnswer, RewardChange
from repic.training.run import train
from storage.store import Store
from tests.trained import Trained
from tools import demo


def change(objective: str, before: float, after: float, low: float) -> RewardChange:
    return RewardChange(objective, "greedy", 96, before, after, low, after - before + 0.04)


GOOD = [
    change("oct", 0.8, 0.86, 0.01),
    change("vlt", 0.66, 0.65, -0.04),
    change("ict", 0.1, 0.4, 0.2),
    change("all", 0.52, 0.64, 0.08),
]


def test_a_gain_that_is_clear_of_chance_is_enough() -> None:
    assert demo.missed(GOOD) == []


@pytest.mark.parametrize(
    ("number", "worse", "message"),
    [
        (3, {"after": 0.56, "low": 0.01}, r"greedy mean changed by \+0\.040"),
        (3, {"low": -0.001}, r"starts at -0\.001, not above 0"),
        (0, {"after": 0.75}, r"oct changed by -0\.050"),
    ],
)
def test_too_little_is_said(number: int, worse: dict[str, float], message: str) -> None:
    changes = [replace(c, **worse) if n == number else c for n, c in enumerate(GOOD)]
    [found] = demo.missed(changes)
    assert re.search(message, found)


def test_a_run_that_measured_nothing_shows_nothing() -> None:
    assert "nothing was measured" in demo.missed([])[0]


def test_the_end_of_the_demo_is_printed_and_fails_where_nothing_was_learned(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", trained.store.location])
    assert demo.main() == 1
    printed = capsys.readouterr().out
    assert "Not as claimed: the greedy mean" in printed
    assert demo.NOT_LEARNED in " ".join(printed.split())
    shown = printed.split("before and after:\n\n")[1].split("\n\n")[:-1]
    assert len(shown) == 6
    for answer in shown:
        lines = answer.splitlines()
        assert len(lines) <= 5
        assert max(map(len, lines)) <= demo.WIDTH
        assert re.match("Object consistency|Visual localization|Identity captions", lines[0])
        rewards = [line for line in lines if re.match(r"  (before|after ) \d\.\d\d  ", line)]
        assert len(rewards) == 2


def test_an_answer_is_shown_with_its_question_and_what_is_right() -> None:
    def answer(text: str, reward: float) -> HeldOutAnswer:
        return HeldOutAnswer("e", "oct", text, reward, "right")

    row = {
        "objective": "oct",
        "kind": "negative",
        "prompt": [{"type": "image", "text": ""}, {"type": "text", "text": "Is it <Ann>?"}],
        "answer": "no",
        "box": None,
        "references": [{"name": "Ann", "present": False}],
    }
    assert demo.answers_shown(row, QWEN3_VL, answer("yes", 0), answer("no", 1)) == [
        "Object consistency: Is it <Ann>?",
        "  true answer  no",
        "  before 0.00  yes",
        "  after  1.00  no",
    ]
    caption = {**row, "objective": "ict", "kind": "mixed"}
    caption["references"] = [{"name": "Ann", "present": False}, {"name": "Bo", "present": True}]
    long = answer("A red cup with white dots, " * 9, 0.25)
    lines = demo.answers_shown(caption, QWEN3_VL, long, answer(" ", 0))
    assert lines[0] == "Identity captions: right with <Bo>, without <Ann>"
    assert [line[:14] for line in lines[1:]] == ["  before 0.25 ", " " * 14, "  after  0.00 "]
    assert lines[2].endswith(" ...")
    assert max(map(len, lines)) <= demo.WIDTH


@pytest.mark.parametrize(
    ("completion", "kind", "present", "values"),
    [
        ("A photo of <Ann> and <Ann>.", "multi", True, [1.0]),
        ("A photo of <Ann> and <Bo>.", "multi", True, [0.0]),
        ("A photo of <Ann> and <Ann>.", "mixed", False, []),  # one reference is present
        ("<Ann>", "which", True, []),
    ],
)
def test_names_that_are_listed_twice(
    completion: str, kind: str, present: bool, values: list[float]
) -> None:
    references = [
        {"name": "Ann", "present": True, "info": ""},
        {"name": "Bo", "present": present, "info": ""},
    ]
    parsed = caption_reward.reward(completion, caption_row(references)).parsed
    row = {"objective": "ict", "kind": kind, "references": references}
    assert [*demo.listed_twice(demo.Scored(row, Reward(0.0, {}, "right", parsed)))] == values


def caption_row(references: list[dict[str, Any]]) -> dict[str, Any]:
    prompt = [{"type": "text", "text": "Describe the picture."}]
    return {"prompt": prompt, "references": references, "caption": None, "scene": [], **NO_FACTS}


@pytest.fixture(scope="module")
def sample_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open(tmp_path_factory.mktemp("demo") / "store", create=True)
    settings = config.load("sample")
    build(settings, store, scan(settings))
    return store


def outcome(store: Store, *changes: str) -> tuple[RewardChange, ...]:
    result = train(config.load("sample", changes, scope=config.TRAIN), store)
    assert result is not None
    return result.changes


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_demo_learns(sample_store: Store) -> None:
    assert demo.missed(outcome(sample_store)) == []


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_demo_learns_nothing_from_rewards_of_other_answers(sample_store: Store) -> None:
    shuffled = outcome(sample_store, "train.control=shuffled")
    assert demo.missed(shuffled), json.dumps([vars(change) for change in shuffled])

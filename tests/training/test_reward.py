"""The trained reward: one column, complete groups, and no error that ends a run."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest

from repic.errors import TrainError
from repic.images.coordinates import QWEN3_VL
from repic.rewards.adapters.chat import text_of
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score
from repic.training.reward import RECORDS, GroupError, TrainedReward, check_groups
from tests.builds import Built

END = 7


class Logs:
    """Stand-in for TRL's logging functions."""

    def __init__(self) -> None:
        self.extra: dict[str, list[Any]] = defaultdict(list)
        self.metrics: dict[str, list[float]] = defaultdict(list)

    def log_extra(self, column: str, values: list[Any]) -> None:
        self.extra[column].extend(values)

    def log_metric(self, name: str, value: float) -> None:
        self.metrics[name].append(value)


def call(rows: list[dict[str, Any]], texts: list[str], **changes: Any) -> tuple[list, Logs]:
    logs = Logs()
    reward = TrainedReward(QWEN3_VL, "strict", 2, frozenset({END}), lambda values: values)
    arguments = {
        "prompts": [None] * len(rows),
        "completions": [[{"role": "assistant", "content": text}] for text in texts],
        "completion_ids": [[1, END] for _ in rows],
        "row": rows,
        "unreadable": [None] * len(rows),
        "log_extra": logs.log_extra,
        "log_metric": logs.log_metric,
        "trainer_state": None,
        **changes,
    }
    return reward(**arguments), logs


@pytest.fixture(scope="module")
def examples(built: Built) -> list[dict[str, Any]]:
    return built.store.read("examples@latest").to_pylist()


def test_totals_are_those_of_the_rewards(examples: list[dict[str, Any]]) -> None:
    chosen = [row for row in examples if gold_answer(row, QWEN3_VL)][:12]
    rows = [row for row in chosen for _ in range(2)]
    texts = [text for row in chosen for text in (gold_answer(row, QWEN3_VL) or "", "junk")]
    totals, logs = call(rows, texts)
    expected = [score(t, r, "strict", QWEN3_VL) for t, r in zip(texts, rows, strict=True)]
    assert totals == [reward.total for reward in expected]
    records = logs.extra[RECORDS]
    assert [record["components"] for record in records] == [dict(r.components) for r in expected]
    assert [record["reason"] for record in records] == [r.reason for r in expected]
    assert all(not record["truncated"] for record in records)
    assert logs.metrics["unscored"] == [0.0] * len(rows)
    assert {name for name in logs.metrics if name.startswith("components/")}


def test_a_lost_picture_is_not_scored_and_counted(examples: list[dict[str, Any]]) -> None:
    row = examples[0]
    totals, logs = call([row, row], ["yes", "yes"], unreadable=["gone", None])
    assert totals[0] is None
    assert totals[1] is not None
    assert logs.extra[RECORDS][0]["reason"] == "unreadable"
    assert logs.metrics["unscored"] == [1.0, 0.0]


def test_a_row_that_breaks_the_reward_is_none(examples: list[dict[str, Any]]) -> None:
    broken = {**examples[0], "objective": "oct"}
    del broken["answer"]
    totals, logs = call([broken, broken], ["yes", "no"])
    assert totals == [None, None]
    assert {record["reason"] for record in logs.extra[RECORDS]} == {"error"}
    assert math.fsum(logs.metrics["unscored"]) == 2


def test_mixed_groups_end_a_run_at_once(examples: list[dict[str, Any]]) -> None:
    with pytest.raises(GroupError, match="1 of 1 groups mix examples"):
        call(examples[:2], ["yes", "no"])
    check_groups(["a", "a", "b", "b"], 2)
    with pytest.raises(GroupError):
        check_groups(["a", "a", "b"], 2)
    assert not issubclass(GroupError, TrainError), "a fault of ours, not of the user"


def test_an_answer_that_does_not_end_is_truncated(examples: list[dict[str, Any]]) -> None:
    row = examples[0]
    _, logs = call([row, row], ["a", "b"], completion_ids=[[1, 2], [1, END]])
    assert [record["truncated"] for record in logs.extra[RECORDS]] == [True, False]
    assert [record["length"] for record in logs.extra[RECORDS]] == [2, 2]


def test_text_of_any_form_of_completion() -> None:
    assert text_of("a") == "a"
    assert text_of([{"role": "assistant", "content": "b"}]) == "b"
    assert text_of([{"role": "assistant", "content": [{"type": "text", "text": "c"}]}]) == "c"

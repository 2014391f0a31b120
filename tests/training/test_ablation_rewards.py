"""Ablation rewards: permuted inside an objective, or of form alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from repic.objectives.base import Reward
from repic.training.ablation_rewards import ablation_reward, format_only, totals

ROWS = st.lists(
    st.tuples(st.sampled_from(["oct", "vlt", "ict"]), st.none() | st.floats(0, 1)), max_size=40
)


def rows_of(pairs: list[tuple[str, float | None]]) -> tuple[list[Any], list[Reward | None]]:
    rows = [{"objective": objective, "kind": "single"} for objective, _ in pairs]
    rewards = [None if value is None else Reward(value, {}, "x") for _, value in pairs]
    return rows, rewards


@given(ROWS, st.integers(0, 99))
def test_shuffled_deals_the_same_rewards_inside_each_objective(
    pairs: list[tuple[str, float | None]], seed: int
) -> None:
    rows, rewards = rows_of(pairs)
    dealt = ablation_reward("shuffled", seed)(rows, rewards)
    assert dealt == ablation_reward("shuffled", seed)(rows, rewards)
    for objective in ("oct", "vlt", "ict"):
        own = [value for name, value in pairs if name == objective]
        other = [v for row, v in zip(rows, dealt, strict=True) if row["objective"] == objective]
        assert Counter(own) == Counter(other)


def test_a_shuffle_moves_most_rewards() -> None:
    pairs: list[tuple[str, float | None]] = [("oct", k / 100) for k in range(100)]
    rows, rewards = rows_of(pairs)
    deal = ablation_reward("shuffled", 0)
    first, second = deal(rows, rewards), deal(rows, rewards)
    assert first != second
    assert sum(a == b for a, b in zip(first, totals(rows, rewards), strict=True)) < 10


def test_form_is_all_that_counts() -> None:
    rows = [
        {"objective": "oct", "kind": "positive"},
        {"objective": "vlt", "kind": "expression"},
        {"objective": "ict", "kind": "single"},
        {"objective": "ict", "kind": "which"},
        {"objective": "oct", "kind": "positive"},
    ]
    caption = {"names": 0.0, "content": 0.5, "variety": 0.5, "facts": 0.1}
    rewards = [
        Reward(0.0, {"format": 1.0, "correct": 0.0}, "wrong"),
        Reward(0.3, {"format": 1.0, "iou": 0.3}, "wrong"),
        Reward(0.0, caption, "wrong_name"),
        Reward(1.0, {"format": 1.0, "correct": 1.0}, "right"),
        None,
    ]
    assert format_only(rows, rewards) == [1.0, 1.0, 0.25, 1.0, None]

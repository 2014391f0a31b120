"""verl: `reward.custom_reward_function.path=.../verl_reward.py`, name `compute_score`.

`ground_truth` of the data is the label that `repic export` writes. One None makes verl drop
the scores of the batch, and it takes the columns of its logs from the first row; so every answer
gets a number, and `scored` is 0 for a neutral one. `compute_scores` is for the reward manager that
passes a batch (`reward_manager=batch`); there a neutral reward is the mean of the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repic.rewards.adapters.query import fill_unscored, request_rewards


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **_: Any
) -> dict[str, float]:
    """`score` of one answer, and `scored`: 1 if a worker scored it, else 0."""
    return compute_scores([data_source], [solution_str], [ground_truth], [extra_info])[0]


def compute_scores(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[str],
    extra_infos: Sequence[Any] | None = None,
    **_: Any,
) -> list[dict[str, float]]:
    """The same for each answer of a batch."""
    rewards = request_rewards(solution_strs, ground_truths)
    filled = fill_unscored(rewards, ground_truths)
    return [
        {"score": score, "scored": float(reward is not None)}
        for score, reward in zip(filled, rewards, strict=True)
    ]

"""verl: `reward.custom_reward_function.path=.../verl_reward.py`, name `compute_score`.

`ground_truth` of the data is the label that `repic reward rows` writes. verl drops the scores of a
whole batch for one None, and takes the columns of its logs from the first row; so every answer has
a number, and `scored` is 0 where it is neutral. `compute_scores` is for the reward manager that
gives a batch at once (`reward_manager=batch`): there neutral is the mean of the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from repic.rewards.adapters.query import ask, neutral


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **_: Any
) -> dict[str, float]:
    """`score` of one answer, and whether it was `scored`."""
    return compute_scores([data_source], [solution_str], [ground_truth], [extra_info])[0]


def compute_scores(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[str],
    extra_infos: Sequence[Any] | None = None,
    **_: Any,
) -> list[dict[str, float]]:
    """The same of a batch."""
    found = ask(solution_strs, ground_truths)
    return [
        {"score": score, "scored": float(reward is not None)}
        for score, reward in zip(neutral(found, ground_truths), found, strict=True)
    ]

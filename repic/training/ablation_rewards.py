"""Rewards of ablations, which replace the real ones (`train.control`).

A model that learns from one of these learns nothing that the rewards measure: `shuffled` permutes
the rewards of a batch inside each objective, `format` rewards the form of an answer alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from repic.objectives import in_order, objective_of
from repic.objectives.base import Reward, Row

Totals = list[float | None]
"""One total per answer; None for an answer that could not be scored."""
Ablation = Callable[[Sequence[Row], Sequence[Reward | None]], Totals]
"""Turns the rewards of a batch into the totals that are trained on."""


def totals(rows: Sequence[Row], rewards: Sequence[Reward | None]) -> Totals:
    """The real rewards."""
    return [reward.total if reward else None for reward in rewards]


class _Shuffled:
    """The real rewards, permuted inside each objective."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, rows: Sequence[Row], rewards: Sequence[Reward | None]) -> Totals:
        shuffled = totals(rows, rewards)
        for name in in_order(row["objective"] for row in rows):
            indices = [i for i, row in enumerate(rows) if row["objective"] == name]
            values = [shuffled[index] for index in indices]
            self._random.shuffle(values)
            for index, value in zip(indices, values, strict=True):
                shuffled[index] = value
        return shuffled


def format_only(rows: Sequence[Row], rewards: Sequence[Reward | None]) -> Totals:
    """Form alone: a yes or no, a box, one name; of a caption, content without repetition."""
    return [
        objective_of(row["objective"]).form(row, reward) if reward else None
        for row, reward in zip(rows, rewards, strict=True)
    ]


def ablation_reward(control: str, seed: int) -> Ablation:
    """The reward of a value of `train.control`; the run's seed decides how it is shuffled."""
    ablations: dict[str, Ablation] = {
        "none": totals,
        "format": format_only,
        "shuffled": _Shuffled(seed),
    }
    return ablations[control]

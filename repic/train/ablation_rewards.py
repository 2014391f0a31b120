"""What is trained on: the rewards, or a control of an experiment in their place.

A run that learns from a control has learned nothing of what is rewarded: `shuffled` deals the
rewards of a batch anew inside each objective, `format` rewards form alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from repic.objectives import OBJECTIVES
from repic.objectives.base import Reward, Row
from repic.objectives.identify import KIND as WHICH

Totals = list[float | None]
Deal = Callable[[Sequence[Row], Sequence[Reward | None]], Totals]


def totals(rows: Sequence[Row], rewards: Sequence[Reward | None]) -> Totals:
    """The rewards themselves."""
    return [reward.total if reward else None for reward in rewards]


class Shuffled:
    """Rewards of others: dealt anew inside each objective."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def __call__(self, rows: Sequence[Row], rewards: Sequence[Reward | None]) -> Totals:
        dealt = totals(rows, rewards)
        for objective in OBJECTIVES:
            places = [place for place, row in enumerate(rows) if row["objective"] == objective]
            values = [dealt[place] for place in places]
            self._draw.shuffle(values)
            for place, value in zip(places, values, strict=True):
                dealt[place] = value
        return dealt


def form(rows: Sequence[Row], rewards: Sequence[Reward | None]) -> Totals:
    """Form alone: yes or no, a box, one name; of a caption, that it says something once."""
    return [
        _form(row, reward) if reward else None for row, reward in zip(rows, rewards, strict=True)
    ]


def _form(row: Row, reward: Reward) -> float:
    parts = reward.components
    if row["objective"] == "ict" and row["kind"] != WHICH:
        return parts["content"] * parts["variety"]
    return parts["format"]


def deal_of(control: str, seed: int) -> Deal:
    """What `train.control` means; a run's own seed decides how it is shuffled."""
    deals: dict[str, Deal] = {"none": totals, "format": form, "shuffled": Shuffled(seed)}
    return deals[control]

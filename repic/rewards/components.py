"""Model-based penalties: components that look at the picture, or judge the text.

A component scores many answers at once, 0 to 1 each, and can only lower a reward: the total becomes
`total * (1 - weight * (1 - score))`, so an answer that fools it gains nothing over an honest one.
A score of None leaves the reward unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from repic.objectives.base import Reward


@dataclass(frozen=True)
class RewardedAnswer:
    """An answer, its row (the columns that `/v1/score` takes), and its reward so far."""

    text: str
    row: Mapping[str, Any]
    reward: Reward


class Component(Protocol):
    """One more factor of a reward.

    Attributes:
        name: Its key among the components of a reward.
        weight: Share of the total that a score of 0 takes away, 0 to 1.
    """

    name: str
    weight: float

    def applies(self, answer: RewardedAnswer) -> bool:
        """Whether it can score this answer; must be fast."""
        ...

    def scores(self, answers: Sequence[RewardedAnswer]) -> Sequence[float | None]:
        """A score of each answer, 0 to 1, or None. May be slow; one thread at a time calls it."""
        ...


def lowered(reward: Reward, component: Component, score: float | None) -> Reward:
    """The reward lowered by the score of a component, which is added to its components."""
    if score is None:
        return reward
    total = reward.total * (1 - component.weight * (1 - score))
    return replace(reward, total=total, components={**reward.components, component.name: score})

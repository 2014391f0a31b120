"""What lowers a reward beside the rules: models that look at the picture, or judge the text.

A component scores many answers at once, 0 to 1 each, and can only take: the total becomes
`total * (1 - weight * (1 - score))`, so whoever fools it gains nothing over an honest answer. None,
where it knows nothing, takes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from repic.objectives.base import Reward


@dataclass(frozen=True)
class RewardedAnswer:
    """An answer, the row that it answers (what `/v1/score` takes of one), and its reward so far."""

    text: str
    row: Mapping[str, Any]
    reward: Reward


class Component(Protocol):
    """One more part of a reward.

    Attributes:
        name: Its key among the components of a reward.
        weight: Share of the total that the lowest score takes away, 0 to 1.
    """

    name: str
    weight: float

    def applies(self, answer: RewardedAnswer) -> bool:
        """Whether it has anything to say about this answer; quick."""
        ...

    def scores(self, answers: Sequence[RewardedAnswer]) -> Sequence[float | None]:
        """A score of each, 0 to 1, or None. May take long; called by one thread at a time."""
        ...


def lowered(reward: Reward, component: Component, score: float | None) -> Reward:
    """The reward with a component's score in it."""
    if score is None:
        return reward
    total = reward.total * (1 - component.weight * (1 - score))
    return replace(reward, total=total, components={**reward.components, component.name: score})

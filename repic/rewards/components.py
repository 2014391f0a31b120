"""Model-based penalties: components that look at the picture, or judge the text.

A component scores many answers at once, 0 to 1 each, and can only lower a reward: the total becomes
`total * (1 - weight * (1 - score))`, so an answer that fools it gains nothing over an honest one.
A score of None leaves the reward unchanged.

A module that is registered in the group `rewards` of `repic.config.plugins` has:

- `RULE`: what the score means, in a clause;
- `is_on(settings)`: whether its settings, those under its name in `rewards`, switch it on;
- `looks(settings)`: whether it needs photos;
- `component(settings, models)`: the `Component`, with its model loaded; see `WorkerModels`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from repic.objectives.base import Reward

if TYPE_CHECKING:
    from PIL import Image

    from repic.models.encoder import Encoder


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


class PhotoLookup(Protocol):
    """Opens photos of the store that a worker was started with.

    Attributes:
        uris: `image_id` -> address of the photo.
    """

    @property
    def uris(self) -> Mapping[str, str]: ...

    def __call__(self, image_id: str, crop: Sequence[float] | None = None) -> Image.Image | None:
        """The photo or a crop of it (xyxy, pixels); None if it cannot be opened."""
        ...


@dataclass(frozen=True)
class WorkerModels:
    """What a worker gives to a component when it starts.

    Attributes:
        encoder: Loads the configured encoder.
        photos: None unless the component `looks`.
    """

    encoder: Callable[[], Encoder]
    photos: PhotoLookup | None


def lowered(reward: Reward, component: Component, score: float | None) -> Reward:
    """The reward lowered by the score of a component, which is added to its components."""
    if score is None:
        return reward
    total = reward.total * (1 - component.weight * (1 - score))
    return replace(reward, total=total, components={**reward.components, component.name: score})

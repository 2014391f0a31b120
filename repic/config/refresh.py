"""Every setting of a refresh: its own, and those of training and evaluation."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from repic.config import evaluate as evaluation
from repic.config import train as training
from repic.config.build import ELSEWHERE
from repic.config.evaluate import Asked, Protocol
from repic.config.profiles import Section, described, layered, validated
from repic.config.train import Training

SECTION = "refresh"
LISTED = "`repic refresh run --show-settings` lists them"


class Margins(Section):
    """By how much a guarded metric may be worse, as a share; more, and nothing is promoted."""

    false_mention: float = Field(0.02, ge=0, description="Absent references that are named.")
    binding: float = Field(0.02, ge=0, description="Right ones among what is said of whom.")
    oct: float = Field(0.02, ge=0, description="Reward of held-out OCT rows.")
    vlt: float = Field(0.02, ge=0, description="Reward of held-out VLT rows, the IoU.")


class Refresh(Section):
    """When a new checkpoint takes over."""

    tag: str = Field("production", description="Tag of the checkpoint that is in use.")
    protocol: Protocol = Field("mixed", description="Whose strict F1 has to be better.")
    margins: Margins = Margins()
    rows: int = Field(
        64, ge=8, description="Held-out rows of OCT and of VLT that both models answer."
    )
    by_difficulty: bool = Field(
        True, description="Thin out rows that the newest rollouts found too easy or too hard."
    )


class _Own(Section):
    refresh: Refresh = Refresh()


class Refreshing(Section):
    """One refresh after its build, completely."""

    refresh: Refresh
    train: Training
    evaluate: Asked


def load(profile: str = "sample", overrides: Iterable[str] = ()) -> Refreshing:
    """Settings of a profile with changes on top; each override goes to whom its section belongs.

    Raises:
        ConfigError: unknown profile, unknown key (the nearest is named) or impossible value.
    """
    given = list(overrides)
    own = layered(profile, _of(given, (SECTION,)), {}, only=(SECTION,))
    return Refreshing(
        refresh=validated(_Own, own, LISTED).refresh,
        train=training.load(profile, _of(given, training.SECTIONS)),
        evaluate=evaluation.load(profile, _of(given, evaluation.SECTIONS)),
    )


def of_the_build(overrides: Iterable[str]) -> list[str]:
    """Those overrides that are for the build."""
    return [one for one in overrides if _section(one) not in ELSEWHERE]


def describe() -> list[tuple[str, str, str]]:
    """Every setting of a refresh itself as (key, default, help)."""
    return list(described(_Own))


def _of(overrides: Iterable[str], sections: tuple[str, ...]) -> list[str]:
    return [one for one in overrides if _section(one) in sections]


def _section(override: str) -> str:
    return override.partition("=")[0].strip().partition(".")[0]

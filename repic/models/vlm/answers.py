"""What a model answered to held-out rows, and how far two such differ, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
ALL = "all"
"""Stands for the mean of the objectives, each weighing the same."""


@dataclass(frozen=True)
class Answer:
    """One answer to one held-out row.

    Attributes:
        reward: Of the strict rules, 0 to 1, whatever was trained on.
        right: Whether its reason is `right`; for a box, IoU of at least 0.5.
    """

    example_id: str
    objective: str
    completion: str
    reward: float
    reason: str

    @property
    def right(self) -> bool:
        return self.reason == "right"


@dataclass(frozen=True)
class Measured:
    """Answers of one model to the same rows in the same order, greedy and sampled."""

    greedy: tuple[Answer, ...]
    sampled: tuple[Answer, ...]

    def as_json(self) -> dict[str, Any]:
        """Means by objective, and every answer."""
        return {
            "means": {
                how: {
                    objective: {
                        "n": len(answers),
                        "reward": float(np.mean([a.reward for a in answers])),
                        "right": float(np.mean([a.right for a in answers])),
                    }
                    for objective, answers in _by_objective(getattr(self, how)).items()
                }
                for how in ("greedy", "sampled")
            },
            "answers": [
                {**asdict(greedy), "sampled": asdict(sampled)}
                for greedy, sampled in zip(self.greedy, self.sampled, strict=True)
            ],
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Measured:
        """What `as_json` wrote."""
        greedy, sampled = [], []
        for answer in found["answers"]:
            greedy.append(Answer(**{k: v for k, v in answer.items() if k != "sampled"}))
            sampled.append(Answer(**answer["sampled"]))
        return cls(tuple(greedy), tuple(sampled))


@dataclass(frozen=True)
class Change:
    """A mean before and after, and the difference with its 95 % interval."""

    objective: str
    how: str
    n: int
    before: float
    after: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.after - self.before


def shared(before: Measured, after: Measured) -> tuple[Measured, Measured]:
    """Both without the rows that one of them lost; see `Measurer.measure`."""
    ids = {a.example_id for a in before.greedy} & {a.example_id for a in after.greedy}

    def kept(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
        return tuple(a for a in answers if a.example_id in ids)

    return (
        Measured(kept(before.greedy), kept(before.sampled)),
        Measured(kept(after.greedy), kept(after.sampled)),
    )


def compare(before: Measured, after: Measured) -> list[Change]:
    """Changes by objective and of their mean, greedy and sampled; rows are compared with
    themselves, and resampled within each objective (percentile bootstrap, Efron 1979)."""
    changes = []
    for how in ("greedy", "sampled"):
        old, new = _by_objective(getattr(before, how)), _by_objective(getattr(after, how))
        drawn: dict[str, np.ndarray] = {}
        means: dict[str, tuple[float, float, int]] = {}
        for objective in old:
            a = np.array([answer.reward for answer in old[objective]])
            b = np.array([answer.reward for answer in new[objective]])
            drawn[objective] = _resampled(b - a, len(drawn))
            means[objective] = (a.mean(), b.mean(), len(a))
        if len(drawn) > 1:
            drawn[ALL] = np.mean(list(drawn.values()), axis=0)
            means[ALL] = (
                float(np.mean([m[0] for m in means.values()])),
                float(np.mean([m[1] for m in means.values()])),
                sum(m[2] for m in means.values()),
            )
        for objective, (was, now, n) in means.items():
            low, high = np.quantile(drawn[objective], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            changes.append(
                Change(objective, how, n, float(was), float(now), float(low), float(high))
            )
    return changes


def _resampled(values: np.ndarray, seed: int) -> np.ndarray:
    """Means of RESAMPLES samples with replacement, float (RESAMPLES,)."""
    draw = np.random.default_rng(seed)
    return values[draw.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)


def _by_objective(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer.objective, []).append(answer)
    return found

"""Rewards of a model's answers to held-out rows, and how two models differ, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from repic.images.coordinates import Convention
from repic.objectives.base import Row
from repic.rewards.scoring import score
from repic.rewards.wrappers import Wrapper

if TYPE_CHECKING:
    from repic.models.vlm.generate import AnswerGenerator

RESAMPLES = 2000
LEVEL = 0.95
ALL = "all"
"""Name of the mean of the objectives, which weigh the same."""


@dataclass(frozen=True)
class HeldOutAnswer:
    """One answer to one held-out row.

    Attributes:
        reward: Total of the strict rules, 0 to 1, also for a model trained on other rules.
        right: Whether the reason is `right`; for a box, an IoU of at least 0.5.
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
    """Scored answers of one model, greedy and sampled, to the same rows in the same order."""

    greedy: tuple[HeldOutAnswer, ...]
    sampled: tuple[HeldOutAnswer, ...]

    def as_json(self) -> dict[str, Any]:
        """Means by objective, and all answers."""
        return {
            "means": {
                decoding: {
                    objective: {
                        "n": len(answers),
                        "reward": float(np.mean([a.reward for a in answers])),
                        "right": float(np.mean([a.right for a in answers])),
                    }
                    for objective, answers in _by_objective(getattr(self, decoding)).items()
                }
                for decoding in ("greedy", "sampled")
            },
            "answers": [
                {**asdict(greedy), "sampled": asdict(sampled)}
                for greedy, sampled in zip(self.greedy, self.sampled, strict=True)
            ],
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Measured:
        """Inverse of `as_json`."""
        greedy, sampled = [], []
        for answer in saved["answers"]:
            greedy.append(HeldOutAnswer(**{k: v for k, v in answer.items() if k != "sampled"}))
            sampled.append(HeldOutAnswer(**answer["sampled"]))
        return cls(tuple(greedy), tuple(sampled))


@dataclass(frozen=True)
class RewardChange:
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


def measure_answers(
    generator: AnswerGenerator,
    model: Any,
    rows: Sequence[Row],
    seed: int = 0,
    tick: Callable[[int], None] = lambda done: None,
    strip: Collection[Wrapper] = (),
) -> Measured:
    """Generate and strictly score greedy and sampled answers; on a CPU a seed repeats them.

    Rows with an unreadable picture are left out.
    """
    greedy = generator.answers(model, rows, sample=False, seed=seed, tick=tick)
    sampled = generator.answers(model, rows, sample=True, seed=seed, tick=tick)

    def scored(texts: Sequence[str]) -> tuple[HeldOutAnswer, ...]:
        return tuple(
            _scored(row, text, generator.convention, strip)
            for row, text in zip(rows, texts, strict=True)
            if row["example_id"] not in generator.unreadable
        )

    return Measured(scored(greedy), scored(sampled))


def _scored(
    row: Row, text: str, convention: Convention, strip: Collection[Wrapper]
) -> HeldOutAnswer:
    reward = score(text, row, "strict", convention, strip=strip)
    return HeldOutAnswer(row["example_id"], row["objective"], text, reward.total, reward.reason)


def shared(before: Measured, after: Measured) -> tuple[Measured, Measured]:
    """Both measurements without the rows that one of them lacks; see `measure_answers`."""
    ids = {a.example_id for a in before.greedy} & {a.example_id for a in after.greedy}

    def kept(answers: tuple[HeldOutAnswer, ...]) -> tuple[HeldOutAnswer, ...]:
        return tuple(a for a in answers if a.example_id in ids)

    return (
        Measured(kept(before.greedy), kept(before.sampled)),
        Measured(kept(after.greedy), kept(after.sampled)),
    )


def compare(before: Measured, after: Measured) -> list[RewardChange]:
    """Paired changes by objective and of their mean, greedy and sampled.

    Rows are resampled within each objective (percentile bootstrap, Efron 1979).
    """
    changes = []
    for how in ("greedy", "sampled"):
        old, new = _by_objective(getattr(before, how)), _by_objective(getattr(after, how))
        drawn: dict[str, np.ndarray] = {}
        means: dict[str, tuple[float, float, int]] = {}
        for objective in old:
            a = np.array([answer.reward for answer in old[objective]])
            b = np.array([answer.reward for answer in new[objective]])
            drawn[objective] = resampled_means(b - a, len(drawn))
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
                RewardChange(objective, how, n, float(was), float(now), float(low), float(high))
            )
    return changes


def resampled_means(values: np.ndarray, seed: int) -> np.ndarray:
    """Means of RESAMPLES samples with replacement, float (RESAMPLES,)."""
    draw = np.random.default_rng(seed)
    return values[draw.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)


def _by_objective(answers: Sequence[HeldOutAnswer]) -> dict[str, list[HeldOutAnswer]]:
    groups: dict[str, list[HeldOutAnswer]] = {}
    for answer in answers:
        groups.setdefault(answer.objective, []).append(answer)
    return groups

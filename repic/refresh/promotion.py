"""Whether a candidate takes over: a rule of numbers, and a sentence for each of them.

It does if its strict F1 is better beyond the 95 % interval of the difference, and no guarded metric
is worse by more than its margin. Without a checkpoint in production the first one is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["first", "promoted", "refused", "rolled back"]
ROLLED_BACK: Literal["rolled back"] = "rolled back"


@dataclass(frozen=True)
class Comparison:
    """One metric of the checkpoint in production and of the candidate, on the same questions.

    Attributes:
        production: None where there is none, or where it could not be measured.
        difference: Candidate minus production, with its 95 % interval.
        margin: By how much it may be worse; None for the metric that has to be better.
        more_is_better: False where it counts errors.
        n: Questions or rows that both answered; of the candidate alone without a production.
    """

    metric: str
    production: float | None
    candidate: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    more_is_better: bool = True
    n: int | None = None

    @property
    def met(self) -> bool:
        """Whether it allows to promote; what could not be measured on both does not stand in the
        way as a guard, and is no improvement."""
        if self.margin is None:
            return self.low is not None and self.low > 0
        if self.difference is None:
            return True
        worse = -self.difference if self.more_is_better else self.difference
        return worse <= self.margin

    @property
    def said(self) -> str:
        """What was found, in a sentence."""
        if self.difference is None:
            told = _share(self.candidate) + self._counted
            return f"{self.metric} is {told}, and there is nothing to compare"
        numbers = f"{_share(self.production)} to {_share(self.candidate)}"
        if self.low is not None and self.high is not None:
            numbers += f" ({100 * self.difference:+.1f}, {100 * self.low:+.1f} to "
            numbers += f"{100 * self.high:+.1f}{self._counted})"
        if self.margin is None:
            verdict = "better beyond its interval" if self.met else "not better beyond its interval"
        else:
            within = "within" if self.met else "beyond"
            verdict = f"{within} its margin of {100 * self.margin:.1f}"
        return f"{self.metric} {numbers}: {verdict}"

    @property
    def _counted(self) -> str:
        return "" if self.n is None else f", n {self.n}"


@dataclass(frozen=True)
class Decision:
    """What became of a candidate, and why."""

    verdict: Verdict
    why: str
    comparisons: tuple[Comparison, ...] = ()


def decide(has_production: bool, comparisons: Sequence[Comparison]) -> Decision:
    """The decision about a candidate.

    Args:
        comparisons: The metric that has to be better, and the guards.
    """
    found = tuple(comparisons)
    if not has_production:
        return Decision("first", "nothing was in production", found)
    stops = [comparison.said for comparison in found if not comparison.met]
    if stops:
        return Decision("refused", "; ".join(stops), found)
    gain = next(comparison for comparison in found if comparison.margin is None)
    return Decision("promoted", f"{gain.said}; every guarded metric is within its margin", found)


def stopped(why: str) -> Decision:
    """The decision about a candidate whose training a guard ended."""
    return Decision("refused", f"training was stopped: {why}")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"

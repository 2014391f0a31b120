"""The rule that promotes a candidate, and a sentence for each number in it.

A candidate is promoted if its strict F1 is better beyond the 95 % interval of the difference, and
no guarded metric is worse by more than its margin. The first checkpoint is always promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["first", "promoted", "refused", "rolled back"]
ROLLED_BACK: Literal["rolled back"] = "rolled back"


@dataclass(frozen=True)
class MetricComparison:
    """One metric of the production checkpoint and of the candidate, on the same questions.

    Attributes:
        production: None if there is no such checkpoint, or it could not be measured.
        difference: Candidate minus production, with its 95 % interval.
        margin: The largest loss that is accepted; None for the metric that must improve.
        more_is_better: False for a metric that counts errors.
        n: Questions or rows that both answered; without a production checkpoint, the
            candidate alone.
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
        """Whether the metric permits promotion.

        A metric that could not be measured on both passes as a guard, but is not an improvement.
        """
        if self.margin is None:
            return self.low is not None and self.low > 0
        if self.difference is None:
            return True
        worse = -self.difference if self.more_is_better else self.difference
        return worse <= self.margin

    @property
    def sentence(self) -> str:
        """The numbers and their verdict in a sentence."""
        if self.difference is None:
            value = _share(self.candidate) + self._counted
            return f"{self.metric} is {value}, and there is nothing to compare"
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
    """The verdict on a candidate, and the reason."""

    verdict: Verdict
    why: str
    comparisons: tuple[MetricComparison, ...] = ()


def decide(has_production: bool, comparisons: Sequence[MetricComparison]) -> Decision:
    """The decision about a candidate.

    Args:
        comparisons: The metric that must improve, and the guards.
    """
    comparisons = tuple(comparisons)
    if not has_production:
        return Decision("first", "nothing was in production", comparisons)
    failures = [comparison.sentence for comparison in comparisons if not comparison.met]
    if failures:
        return Decision("refused", "; ".join(failures), comparisons)
    gain = next(comparison for comparison in comparisons if comparison.margin is None)
    reason = f"{gain.sentence}; every guarded metric is within its margin"
    return Decision("promoted", reason, comparisons)


def stopped(reason: str) -> Decision:
    """The decision about a candidate whose training a guard stopped."""
    return Decision("refused", f"training was stopped: {reason}")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"

"""The promotion rule: better beyond the interval, and every guard within its margin."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.refresh.decision import MetricComparison, decide, stopped

GAIN = MetricComparison("f1 (mixed)", 0.60, 0.70, 0.10, 0.04, 0.16)
GUARDS = (
    MetricComparison(
        "false_mention (wrong)", 0.20, 0.21, 0.01, -0.02, 0.04, 0.02, more_is_better=False
    ),
    MetricComparison("oct", 0.90, 0.885, -0.015, -0.04, 0.01, 0.02),
)


def test_better_within_all_margins_is_promoted_and_says_so() -> None:
    decision = decide(True, (GAIN, *GUARDS))
    assert decision.verdict == "promoted"
    assert "f1 (mixed) 60.0 to 70.0 (+10.0, +4.0 to +16.0): better beyond" in decision.why


@pytest.mark.parametrize("low", [0.0, -0.01, None])
def test_not_beyond_its_interval_is_refused(low: float | None) -> None:
    unsure = MetricComparison("f1 (mixed)", 0.60, 0.70, 0.10, low, 0.16)
    decision = decide(True, (unsure, *GUARDS))
    assert decision.verdict == "refused"
    assert "f1 (mixed)" in decision.why


@pytest.mark.parametrize(
    "worse",
    [
        MetricComparison("false_mention (wrong)", 0.2, 0.23, 0.03, 0.01, 0.05, 0.02, False),
        MetricComparison("vlt", 0.70, 0.67, -0.03, -0.05, -0.01, 0.02),
    ],
)
def test_a_guard_beyond_its_margin_is_refused_by_name(worse: MetricComparison) -> None:
    decision = decide(True, (GAIN, *GUARDS, worse))
    assert decision.verdict == "refused"
    assert worse.metric in decision.why
    assert "beyond its margin of 2.0" in decision.why
    assert "f1" not in decision.why


def test_the_first_is_taken_whatever_it_is() -> None:
    alone = MetricComparison("f1 (mixed)", None, 0.1)
    decision = decide(False, (alone,))
    assert (decision.verdict, decision.comparisons) == ("first", (alone,))
    assert "nothing to compare" in alone.sentence


def test_a_guard_that_could_not_be_measured_stops_nothing() -> None:
    blind = MetricComparison("binding (mixed)", None, 0.4, margin=0.02)
    assert decide(True, (GAIN, blind)).verdict == "promoted"


def test_a_run_that_a_guard_stopped_is_refused() -> None:
    decision = stopped("step 4: the KL is 3.1")
    assert decision.verdict == "refused"
    assert "KL is 3.1" in decision.why


NUMBERS = st.floats(-1, 1)


@given(NUMBERS, st.floats(0, 0.5), NUMBERS, st.floats(0, 0.2), st.booleans())
def test_a_smaller_loss_and_a_wider_margin_never_refuse(
    gain: float, half: float, loss: float, margin: float, more: bool
) -> None:
    def verdict(gain: float, loss: float, margin: float) -> str:
        better = MetricComparison("f1", 0.5, 0.5 + gain, gain, gain - half, gain + half)
        signed = -loss if more else loss
        guard = MetricComparison("g", 0.5, 0.5 + signed, signed, None, None, margin, more)
        return decide(True, (better, guard)).verdict

    if verdict(gain, loss, margin) == "promoted":
        assert verdict(gain + 0.1, loss - 0.1, margin + 0.1) == "promoted"
    assert (verdict(gain, loss, margin) == "promoted") == (gain - half > 0 and loss <= margin)


def test_every_comparison_has_its_sentence() -> None:
    sentences: list[Any] = [one.sentence for one in (GAIN, *GUARDS)]
    assert all(name.metric in text for name, text in zip((GAIN, *GUARDS), sentences, strict=True))
    assert "within its margin of 2.0" in sentences[2]

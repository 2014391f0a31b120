"""The guard: what stops a run, what only warns, and what it ignores."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from repic.config import GuardSettings
from repic.training.guards import TrainingGuard

STEADY = {"loss": 0.1, "reward": 0.5, "kl": 0.01, "entropy": 1.0, "frac_reward_zero_std": 0.2}
SETTINGS = GuardSettings(window=3, patience=4)


def run(logs: list[dict[str, Any]], guard: TrainingGuard | None = None) -> TrainingGuard:
    guard = guard or TrainingGuard(SETTINGS)
    control = SimpleNamespace(should_training_stop=False, should_save=True)
    for number, entry in enumerate(logs, start=1):
        state = SimpleNamespace(global_step=number, log_history=[])
        guard.on_log(None, state, control, logs=entry)
        assert control.should_training_stop == (guard.stopped is not None)
        assert control.should_save == guard.finite, "weights that are not finite are kept nowhere"
    return guard


def steady(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [{**STEADY, **changes}] * count


def test_a_steady_run_goes_on() -> None:
    guard = run(steady(50))
    assert guard.stopped is None
    assert guard.warnings == []


@pytest.mark.parametrize("key", ["loss", "grad_norm", "kl", "entropy"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_stops_at_once(key: str, value: float) -> None:
    guard = run([*steady(2), {**STEADY, key: value}])
    assert guard.stopped == f"step 3: {key} is {value}: lower trainer.learning_rate"
    assert not guard.finite


def test_a_reward_that_nothing_earned_is_no_fault() -> None:
    assert run(steady(20, reward=None)).stopped is None


def test_kl_stops_as_a_mean_not_as_a_peak() -> None:
    assert run([*steady(3), {**STEADY, "kl": 2.5}, *steady(5)]).stopped is None
    stopped = run([*steady(3), *steady(9, kl=1.5)]).stopped
    assert stopped is not None
    assert "train.guards.kl=1" in stopped
    assert "trainer.beta" in stopped


@pytest.mark.parametrize(("entropy", "word"), [(2.5, "lower trainer.learning_rate"), (0.0, "")])
def test_entropy_that_doubles_or_collapses_stops(entropy: float, word: str) -> None:
    settings = GuardSettings(window=3, entropy_slack=0.0)
    guard = run([*steady(3), *steady(9, entropy=entropy)], TrainingGuard(settings))
    assert guard.stopped is not None
    assert "entropy went from 1" in guard.stopped
    assert word in guard.stopped


def test_answers_that_are_learned_by_heart_are_no_collapse() -> None:
    guard = TrainingGuard(GuardSettings(window=3, entropy_slack=0.0), finite_only=True)
    assert run([*steady(3), *steady(9, entropy=0.0)], guard).stopped is None
    assert run([{**STEADY, "loss": math.nan}], guard).stopped is not None


def test_little_entropy_may_double() -> None:
    guard = run([*steady(3, entropy=0.02), *steady(20, entropy=0.05)])
    assert guard.stopped is None


def test_a_reward_below_its_start_stops_when_it_lasts() -> None:
    assert run([*steady(3), *steady(2, reward=0.2), *steady(9)]).stopped is None
    stopped = run([*steady(3), *steady(20, reward=0.2)]).stopped
    assert stopped is not None
    assert "below its start, 0.5" in stopped


def test_warnings_are_given_once() -> None:
    guard = run(steady(30, frac_reward_zero_std=0.7, unscored=0.1))
    assert guard.stopped is None
    assert len(guard.warnings) == 2
    assert guard.warnings[0].startswith("step 3: 70% of the groups")
    assert "10% of the answers have no score" in guard.warnings[1]


def test_a_resumed_run_remembers_its_start() -> None:
    history = [{**STEADY, "step": n} for n in range(1, 11)]
    guard = TrainingGuard(SETTINGS)
    guard.on_train_begin(None, SimpleNamespace(log_history=history), None)
    stopped = run(steady(20, reward=0.2), guard).stopped
    assert stopped is not None
    assert "0.5" in stopped

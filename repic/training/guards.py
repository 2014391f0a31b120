"""The guard of a run: stops it with a reason when it diverges, warns when it learns little."""

from __future__ import annotations

import logging
import math
from collections import deque
from statistics import fmean
from typing import Any

from transformers import TrainerCallback

from repic.config import GuardSettings
from repic.training import sharding

log = logging.getLogger(__name__)

METRICS = ("reward", "kl", "entropy", "frac_reward_zero_std", "unscored")


class TrainingGuard(TrainerCallback):
    """Watches the trainer's logs and weights, and stops the run.

    KL, entropy and reward are averaged over a window of steps, because single steps are noisy; the
    first full window is the baseline.

    Attributes:
        stopped: Step and reason of the stop; None if the run was not stopped.
        finite: False after a NaN or infinite number; then the weights are unusable too.
        warnings: Warnings for the user, each once.
    """

    def __init__(self, settings: GuardSettings, finite_only: bool = False) -> None:
        """
        Args:
            finite_only: Check only for NaN and infinite numbers: SFT is meant to lower entropy.
        """
        self.settings = settings
        self.finite_only = finite_only
        self.stopped: str | None = None
        self.finite = True
        self.warnings: list[str] = []
        self._windows = {key: deque[float](maxlen=settings.window) for key in METRICS}
        self._start: dict[str, float] = {}
        self._fallen = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Replay the logs of earlier attempts after a resume."""
        for logs in state.log_history:
            self._take(logs)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if not logs or self.stopped or "loss" not in logs:
            return
        self._take(logs)
        if reason := self._failure(logs):
            self._stop(state.global_step, reason, control)
        self._warn(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Check the weights: the logs show a NaN weight only one step later."""
        trainable = [p for p in model.parameters() if p.requires_grad] if model is not None else []
        if not self.stopped and not sharding.all_finite(trainable):
            self.finite = False
            reason = "weights are no longer finite: lower trainer.learning_rate"
            self._stop(state.global_step, reason, control)

    def _stop(self, step: int, reason: str, control: Any) -> None:
        self.stopped = f"step {step}: {reason}"
        log.error("stopped at %s", self.stopped)
        control.should_training_stop = True
        control.should_save = control.should_save and self.finite

    def _take(self, logs: dict[str, Any]) -> None:
        for key, window in self._windows.items():
            value = logs.get(key)
            if isinstance(value, int | float) and math.isfinite(value):
                window.append(float(value))
                if len(window) == window.maxlen:
                    self._start.setdefault(key, fmean(window))
        now, start = self._mean("reward"), self._start.get("reward")
        if now is not None and start is not None:
            fell = now < start - self.settings.reward_drop
            self._fallen = self._fallen + 1 if fell else 0

    def _mean(self, key: str) -> float | None:
        window = self._windows[key]
        return fmean(window) if len(window) == window.maxlen else None

    def _failure(self, logs: dict[str, Any]) -> str | None:
        limits = self.settings
        for key in ("loss", "grad_norm", "kl", "entropy"):
            value = logs.get(key)
            if isinstance(value, int | float) and not math.isfinite(value):
                self.finite = False
                return f"{key} is {value}: lower trainer.learning_rate"
        if self.finite_only:
            return None
        kl = self._mean("kl")
        if kl is not None and kl > limits.kl:
            return (
                f"KL {kl:.3g} per token is above train.guards.kl={limits.kl:g}: "
                "raise trainer.beta or lower trainer.learning_rate"
            )
        entropy, start = self._mean("entropy"), self._start.get("entropy")
        if entropy is not None and start is not None:
            change = f"entropy went from {start:.3g} to {entropy:.3g} nats per token"
            if entropy < limits.entropy_low * start - limits.entropy_slack:
                return f"{change}, a collapse: raise trainer.beta or trainer.temperature"
            if entropy > limits.entropy_high * start + limits.entropy_slack:
                return f"{change}: lower trainer.learning_rate or raise trainer.beta"
        if self._fallen > limits.patience:
            return (
                f"the reward, {self._mean('reward'):.3g}, has been below its start, "
                f"{self._start['reward']:.3g}, for {self._fallen} steps: "
                "lower trainer.learning_rate"
            )
        return None

    def _warn(self, step: int) -> None:
        limits = self.settings
        for key, limit, problem in (
            (
                "frac_reward_zero_std",
                limits.zero_variance,
                "of the groups have answers that all score alike, and teach nothing: take harder "
                "or easier rows, or more trainer.num_generations",
            ),
            (
                "unscored",
                limits.unscored,
                "of the answers have no score: look for reason = 'error' or 'unreadable' in "
                "the rollouts, and whether the reward workers answer",
            ),
        ):
            mean = self._mean(key)
            if mean is not None and mean > limit and not any(problem in w for w in self.warnings):
                self.warnings.append(f"step {step}: {mean:.0%} {problem}")
                log.warning("%s", self.warnings[-1])

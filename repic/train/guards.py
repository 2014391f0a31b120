"""Guards: a run that goes wrong ends with a reason, one that learns little is said to."""

from __future__ import annotations

import logging
import math
from collections import deque
from statistics import fmean
from typing import Any

from transformers import TrainerCallback

from repic.config.train import Guards

log = logging.getLogger(__name__)

LOOKED_AT = ("reward", "kl", "entropy", "frac_reward_zero_std", "unscored")


class Guard(TrainerCallback):
    """Looks at what the trainer logs, and asks it to stop.

    KL, entropy and reward are averaged over a window of steps, since a single one is noise; the
    first full window is what the start was like.

    Attributes:
        stopped: Why the run was stopped; None if it was not.
        finite: Whether all numbers were; if not, neither are the weights any more.
        warnings: What a person should know, each once.
    """

    def __init__(self, settings: Guards, finite_only: bool = False) -> None:
        """
        Args:
            finite_only: Look for numbers that are not finite and nothing else: entropy is meant to
                fall where true answers are learned.
        """
        self.settings = settings
        self.finite_only = finite_only
        self.stopped: str | None = None
        self.finite = True
        self.warnings: list[str] = []
        self._windows = {key: deque[float](maxlen=settings.window) for key in LOOKED_AT}
        self._start: dict[str, float] = {}
        self._fallen = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After a resume: look again at what was logged before."""
        for logs in state.log_history:
            self._take(logs)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if not logs or self.stopped or "loss" not in logs:
            return
        self._take(logs)
        if why := self._wrong(logs):
            self._stop(state.global_step, why, control)
        self._warn(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Look at the weights: one that is not finite is seen in no number until the next step."""
        learning = (p for p in model.parameters() if p.requires_grad) if model is not None else ()
        if not self.stopped and not all(bool(p.isfinite().all()) for p in learning):
            self.finite = False
            why = "weights are no longer finite: lower trainer.learning_rate"
            self._stop(state.global_step, why, control)

    def _stop(self, step: int, why: str, control: Any) -> None:
        self.stopped = f"step {step}: {why}"
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

    def _wrong(self, logs: dict[str, Any]) -> str | None:
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
            said = f"entropy went from {start:.3g} to {entropy:.3g} nats per token"
            if entropy < limits.entropy_low * start - limits.entropy_slack:
                return f"{said}, a collapse: raise trainer.beta or trainer.temperature"
            if entropy > limits.entropy_high * start + limits.entropy_slack:
                return f"{said}: lower trainer.learning_rate or raise trainer.beta"
        if self._fallen > limits.patience:
            return (
                f"the reward, {self._mean('reward'):.3g}, has been below its start, "
                f"{self._start['reward']:.3g}, for {self._fallen} steps: "
                "lower trainer.learning_rate"
            )
        return None

    def _warn(self, step: int) -> None:
        limits = self.settings
        for key, limit, what in (
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
                "the rollouts",
            ),
        ):
            mean = self._mean(key)
            if mean is not None and mean > limit and not any(what in w for w in self.warnings):
                self.warnings.append(f"step {step}: {mean:.0%} {what}")
                log.warning("%s", self.warnings[-1])

"""A trainer that is ready to go: fit it, from its last whole checkpoint if there is one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from repic.train.guards import Guard
from repic.train.plan import Plan, Watch
from repic.train.rollouts import Rollouts
from repic.train.trainers import MarkComplete, discard_torn, whole_checkpoints


@dataclass
class Job:
    """One run's trainer, and what looks over its shoulder.

    Attributes:
        rollouts: Where answers go; None for a method that samples none.
        notes: Counts for the manifest.
        resumed: Step that it went on from; 0 for a fresh start.
    """

    plan: Plan
    trainer: Any
    guard: Guard
    rollouts: Rollouts | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    resumed: int = 0
    seconds: float = 0.0

    def fit(self, watch: Watch) -> None:
        """Train to the end, or until a guard says stop."""
        if self.plan.is_main:
            discard_torn(self.plan.output)
        self.trainer.accelerator.wait_for_everyone()
        whole = whole_checkpoints(self.plan.output)
        last = str(whole[-1]) if whole else None
        if last:
            self.resumed = int(last.rpartition("-")[2])
            watch.say(f"going on from step {self.resumed}")
        self.trainer.remove_callback(PrinterCallback)
        self.trainer.add_callback(_Report(watch))
        started = time.monotonic()
        self.trainer.train(resume_from_checkpoint=last)
        self.seconds = time.monotonic() - started

    @property
    def model(self) -> Any:
        """The model with its adapter, without what accelerate wrapped around it."""
        return self.trainer.accelerator.unwrap_model(self.trainer.model)

    @property
    def steps(self) -> int:
        """Optimiser steps done."""
        return int(self.trainer.state.global_step)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What the trainer logged at each step, earlier attempts included."""
        return [logs for logs in self.trainer.state.log_history if "loss" in logs]


def callbacks(guard: Guard) -> list[TrainerCallback]:
    """Of every run."""
    return [guard, MarkComplete()]


class _Report(TrainerCallback):
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.watch.phase("train", state.max_steps)
            self.watch.tick(state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if state.is_world_process_zero and logs and "loss" in logs:
            self.watch.step(state.global_step, logs)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.watch.tick(1)

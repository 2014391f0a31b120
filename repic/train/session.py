"""A trainer that is ready to go: fit it, from its last whole checkpoint if there is one."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from repic.train.guards import Guard
from repic.train.plan import Plan, Watch
from repic.train.rollouts import Rollouts
from repic.train.trainers import MarkComplete, discard_torn, sampled, whole_checkpoints
from storage.errors import StoreError


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
        """Train to the end, or until a guard says stop.

        Raises:
            storage.errors.StoreError: the store cannot be written.
        """
        if self.plan.is_main:
            discard_torn(self.plan.output)
            if why := self._cannot_go_on():
                watch.say(f"starting anew: {why}")
                shutil.rmtree(self.plan.output)
            self.plan.keep()
        self.trainer.accelerator.wait_for_everyone()
        whole = whole_checkpoints(self.plan.output)
        last = str(whole[-1]) if whole else None
        if last:
            self.resumed = int(last.rpartition("-")[2])
            watch.say(f"going on from step {self.resumed}")
        self.trainer.remove_callback(PrinterCallback)
        self.trainer.add_callback(_Report(watch))
        self.trainer.add_callback(_Keep(self.plan))
        started = time.monotonic()
        self.trainer.train(resume_from_checkpoint=last)
        self.seconds = time.monotonic() - started

    def _cannot_go_on(self) -> str | None:
        """Why the last checkpoint is of no use: a run is whole only with all its answers."""
        whole = whole_checkpoints(self.plan.output)
        if not whole:
            return None
        if not self.plan.kept:
            return "what the steps before had left was given up by `repic gc`"
        lost = sampled(whole[-1]) - (self.rollouts.steps if self.rollouts else set())
        if lost:
            return f"the answers of {len(lost)} steps before are gone"
        return None

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


def callbacks(guard: Guard, rollouts: Rollouts | None = None) -> list[TrainerCallback]:
    """Of every run."""
    return [guard, MarkComplete(rollouts)]


class _Keep(TrainerCallback):
    """Says at each checkpoint that somebody is still at it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            with suppress(StoreError):  # a full disk stops no run that needs none of it
                self.plan.keep()


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

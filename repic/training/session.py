"""A trainer with its guard and rollouts: trains, from its last complete checkpoint if any."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from transformers import PrinterCallback, TrainerCallback

from repic.models.vlm import load
from repic.pipeline.progress import Progress
from repic.training import sharding
from repic.training.guards import TrainingGuard
from repic.training.plan import TrainingPlan
from repic.training.rollouts import Rollouts
from repic.training.trainers import (
    MarkComplete,
    complete_checkpoints,
    discard_incomplete,
    sampled_steps,
)
from storage.errors import StoreError

if TYPE_CHECKING:
    from repic.rewards.held_out import Measured


@dataclass
class TrainingSession:
    """The trainer of one run, its guard and its rollouts.

    Attributes:
        rollouts: Receives the sampled answers; None for a method that samples none.
        notes: Counts for the manifest.
        resumed: Step that the run resumed from; 0 for a fresh start.
        seconds: Duration of `fit`.
    """

    plan: TrainingPlan
    trainer: Any
    guard: TrainingGuard
    rollouts: Rollouts | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    resumed: int = 0
    seconds: float = 0.0

    def fit(
        self, progress: Progress, measure: Callable[[], Measured | None] = lambda: None
    ) -> Measured | None:
        """Train to the end, or until the guard stops the run.

        Args:
            measure: Measures the model before any weight changes.

        Returns:
            What `measure` returned.

        Raises:
            storage.errors.StoreError: the store cannot be written.
        """
        if self.plan.is_main:
            discard_incomplete(self.plan.output)
            if reason := self._obstacle():
                progress.message(f"starting from step 0: {reason}")
                shutil.rmtree(self.plan.output)
            self.plan.register()
        self.trainer.accelerator.wait_for_everyone()
        measured: list[Measured | None] = []
        if self.is_divided:  # the whole model need not fit where a part of it does
            self.trainer.on_divided = lambda: measured.append(measure())
        else:
            measured.append(measure())
        checkpoints = complete_checkpoints(self.plan.output)
        last = str(checkpoints[-1]) if checkpoints else None
        if last:
            self.resumed = int(last.rpartition("-")[2])
            progress.message(f"resuming from step {self.resumed}")
        self.trainer.remove_callback(PrinterCallback)
        self.trainer.add_callback(_ReportProgress(progress))
        self.trainer.add_callback(_RenewRegistration(self.plan))
        started = time.monotonic()
        self.trainer.train(resume_from_checkpoint=last)
        self.seconds = time.monotonic() - started
        return measured[0]

    def _obstacle(self) -> str | None:
        """Why the run cannot resume: it needs the answers of all earlier steps."""
        checkpoints = complete_checkpoints(self.plan.output)
        if not checkpoints:
            return None
        if not self.plan.is_registered:
            return "`repic gc` deleted what the earlier attempt left"
        lost = sampled_steps(checkpoints[-1]) - (self.rollouts.steps if self.rollouts else set())
        if lost:
            return f"the answers of {len(lost)} earlier steps are missing"
        return None

    @property
    def model(self) -> Any:
        """The model with its adapter, without accelerate's wrapper."""
        return self.trainer.accelerator.unwrap_model(self.trainer.model)

    @property
    def is_divided(self) -> bool:
        """Whether FSDP2 divides the weights; `fit` does it."""
        return bool(self.trainer.accelerator.is_fsdp2)

    def whole_weights(self) -> dict[str, Any] | None:
        """The trained weights in the main process, if they are divided; every process calls it."""
        return sharding.whole_weights(self.model) if self.is_divided else None

    @property
    def steps(self) -> int:
        """Optimiser steps done."""
        return int(self.trainer.state.global_step)

    @property
    def history(self) -> list[dict[str, Any]]:
        """Logs of every step, earlier attempts included."""
        return [logs for logs in self.trainer.state.log_history if "loss" in logs]


def trainable(plan: TrainingPlan, config: Any) -> tuple[Any, Any]:
    """The model of a run, and the LoRA config of its adapter; None if all weights are trained.

    Args:
        config: TRL's.

    Raises:
        ConfigError, WeightsError: as `load.load`.
    """
    train = plan.settings.train
    model = load.load(plan.reader, load.LoadOptions.of(train, bool(config.bf16)))
    if sharding.is_asked():
        sharding.prepare(model)
    if train.tune == "lora":
        return model, load.lora_config(train.lora)
    load.train_language_model_only(model)
    return model, None


def callbacks(guard: TrainingGuard, rollouts: Rollouts | None = None) -> list[TrainerCallback]:
    """Trainer callbacks of every run."""
    return [guard, MarkComplete(rollouts)]


class _RenewRegistration(TrainerCallback):
    """Renews the run's protection from gc at each checkpoint."""

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            with suppress(StoreError):  # a full disk must not stop a run that can still train
                self.plan.register()


class _ReportProgress(TrainerCallback):
    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.progress.phase("train", state.max_steps)
            self.progress.advance(state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if state.is_world_process_zero and logs and "loss" in logs:
            self.progress.step(state.global_step, logs)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.progress.advance(1)

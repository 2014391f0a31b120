"""GRPO: TRL's trainer on rows of a dataset version, with RePIC's reward."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from repic.errors import DataError
from repic.models.vlm import load
from repic.training.ablation_rewards import ablation_reward
from repic.training.dataset import epoch_order, prompts
from repic.training.guards import TrainingGuard
from repic.training.plan import TrainingPlan
from repic.training.reward import RemoteReward, TrainedReward
from repic.training.rollouts import Rollouts
from repic.training.session import TrainingSession, callbacks, trainable
from repic.training.trainers import RepicGRPOTrainer

if TYPE_CHECKING:
    from trl import GRPOConfig


def prepare(
    plan: TrainingPlan,
    table: pa.Table,
    config: GRPOConfig,
    reward: Callable[..., TrainedReward] | None = None,
) -> TrainingSession:
    """A GRPO trainer, ready to fit.

    Args:
        table: Rows of the examples table.
        config: From `trainer_config`; changed: the data itself repeats for each epoch.
        reward: Makes the reward; by default as the settings say.

    Raises:
        DataError: fewer rows than one generation batch takes.
        WeightsError: the model's weights cannot be read.
    """
    from accelerate.utils import gather_object

    train = plan.settings.train
    order = epoch_order(table, prompt_count(config, table.num_rows, selected=True), config.seed)
    config.num_train_epochs = 1.0
    model, adapter = trainable(plan, config)
    guard = TrainingGuard(train.guards)
    trained_reward = (reward or _reward_factory(train.reward_urls))(
        plan.reader.convention,
        train.mode,
        config.num_generations or 0,
        load.ends_of(model, plan.reader.processor.tokenizer),
        gather_object,
        plan.settings.rewards.strip,
    )
    if train.control != "none":
        trained_reward.ablation = ablation_reward(train.control, config.seed)
    rollouts = Rollouts(plan.store, plan.fingerprint)
    trainer = RepicGRPOTrainer(
        model=model,
        reward_funcs=trained_reward,
        args=config,
        train_dataset=prompts(table, plan.reader.convention, order, train.resize),
        processing_class=plan.reader.processor,
        peft_config=adapter,
        callbacks=callbacks(guard, rollouts),
    )
    generations = config.num_generations or 0
    trainer.on_rollouts = lambda step, records: rollouts.add(step, records, generations)
    notes = {"rows": table.num_rows, "prompts": len(order)}
    return TrainingSession(plan, trainer, guard, rollouts, notes)


def _reward_factory(urls: Sequence[str]) -> Callable[..., TrainedReward]:
    """Makes the reward of a run: in this process, or by reward workers at these URLs."""
    return partial(RemoteReward, urls) if urls else TrainedReward


def prompt_count(config: GRPOConfig, rows: int, selected: bool = False) -> int:
    """Number of prompts of a run: `max_steps` or the epochs, in whole generation batches.

    Args:
        selected: Whether these are the rows that the run takes. Less than one epoch is a selection
            of rows, so a run takes all of them.

    Raises:
        DataError: fewer rows than one generation batch takes; TRL would not train a single step.
    """
    answers, group = config.generation_batch_size or 0, config.num_generations or 1
    batch = answers // group
    if rows < batch:
        raise DataError(
            f"{rows} rows are less than one generation batch, which takes {batch} different "
            f"prompts ({answers} answers in groups of {group}): give at least {batch} rows, or "
            "lower train.prompts_per_step"
        )
    if config.max_steps > 0:
        steps = (config.steps_per_generation or 1) * config.num_iterations
        steps_per_batch = steps / config.gradient_accumulation_steps
        return math.ceil(config.max_steps / steps_per_batch) * batch
    epochs = max(1.0, config.num_train_epochs) if selected else config.num_train_epochs
    return max(batch, math.floor(rows * epochs / batch) * batch)

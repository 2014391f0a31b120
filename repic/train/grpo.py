"""GRPO: TRL's trainer on rows of a dataset version, with our reward."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from repic.errors import DataError
from repic.models.vlm import load
from repic.train import rows
from repic.train.ablation_rewards import deal_of
from repic.train.guards import Guard
from repic.train.plan import Plan
from repic.train.reward import TrainedReward
from repic.train.rollouts import Rollouts
from repic.train.session import Job, callbacks
from repic.train.trainers import Grpo

if TYPE_CHECKING:
    from trl import GRPOConfig


def prepare(
    plan: Plan,
    table: pa.Table,
    config: GRPOConfig,
    reward: Callable[..., TrainedReward] | None = None,
) -> Job:
    """A GRPO trainer that is ready to go.

    Args:
        table: Rows of the examples table.
        config: As `trainer_config` makes it; the epochs go into the data.
        reward: Makes another reward than the settings say.

    Raises:
        DataError: fewer rows than one generation batch takes.
        WeightsError: the model's weights cannot be read.
    """
    from accelerate.utils import gather_object

    train = plan.settings.train
    places = rows.lay_out(table, prompts_of(config, table.num_rows), config.seed)
    config.num_train_epochs = 1.0
    model = load.load(plan.reader, lower=bool(config.bf16))
    guard = Guard(train.guards)
    trained = (reward or rewarding(train.reward_urls))(
        plan.reader.convention,
        train.mode,
        config.num_generations or 0,
        load.ends_of(model, plan.reader.processor.tokenizer),
        gather_object,
    )
    if train.control != "none":
        trained.deal = deal_of(train.control, config.seed)
    rollouts = Rollouts(plan.store, plan.fingerprint)
    trainer = Grpo(
        model=model,
        reward_funcs=trained,
        args=config,
        train_dataset=rows.dataset(table, plan.reader.convention, places),
        processing_class=plan.reader.processor,
        peft_config=load.lora_config(train.lora),
        callbacks=callbacks(guard, rollouts),
    )
    generations = config.num_generations or 0
    trainer.keep = lambda step, records: rollouts.add(step, records, generations)
    return Job(plan, trainer, guard, rollouts, {"rows": table.num_rows, "prompts": len(places)})


def rewarding(urls: Sequence[str]) -> Callable[..., TrainedReward]:
    """What makes the reward of a run: in this process, or by workers at these URLs."""
    if not urls:
        return TrainedReward
    from repic.train.remote_reward import ServedReward

    return partial(ServedReward, urls)


def prompts_of(config: GRPOConfig, rows: int) -> int:
    """How many prompts a run asks: `max_steps` or the epochs, in whole generation batches.

    Raises:
        DataError: fewer rows than one generation batch takes: TRL would train no step at all.
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
    return max(batch, math.floor(rows * config.num_train_epochs / batch) * batch)

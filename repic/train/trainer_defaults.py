"""What we set of TRL's configs where nobody says otherwise, and why."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from repic.config.profiles import nearest
from repic.config.train import Method, Training
from repic.errors import ConfigError

if TYPE_CHECKING:
    from trl import GRPOConfig, SFTConfig


@dataclasses.dataclass(frozen=True)
class Default:
    """A value for a field of TRL's config, and the reason for it."""

    value: Any
    why: str


BOTH: dict[str, Default] = {
    "learning_rate": Default(1e-5, "the paper's; adapters want about 10 times TRL's 1e-6"),
    "per_device_train_batch_size": Default(8, "one group at once"),
    "num_train_epochs": Default(1.0, "laid out in the data itself, so that a resume keeps order"),
    "logging_steps": Default(1, "curves and guards look at every step"),
    "save_steps": Default(50, "what a crash can lose, in steps"),
    "save_total_limit": Default(2, "one more than the last, which may be half written"),
    "report_to": Default("none", "curves are in the checkpoint; set wandb or tensorboard"),
    "disable_tqdm": Default(True, "the command shows its own progress"),
}
GRPO: dict[str, Default] = {
    "num_generations": Default(8, "the paper's group"),
    "max_completion_length": Default(256, "the paper's; a caption needs no more"),
    "temperature": Default(1.0, "the policy itself is sampled, as the loss assumes"),
    "beta": Default(0.04, "the paper's best; without it a shuffled reward drifts"),
    "loss_type": Default("grpo", "a yes of 2 tokens counts as much as a caption of 60"),
    "scale_rewards": Default("group", "the paper's"),
}
SFT: dict[str, Default] = {
    "max_length": Default(None, "TRL's 1,024 cuts through the tokens of a picture"),
    "completion_only_loss": Default(True, "prompts are ours, not the model's to learn"),
}
OURS = {
    "output_dir": "the run's own folder, which a resume must find",
    "shuffle_dataset": "TRL's sampler draws the same order in every epoch",
    "remove_unused_columns": "the reward needs the whole row",
    "reward_weights": "one reward is trained; its parts are logged",
    "max_length": "an image prompt must not be cut",
    "auto_find_batch_size": "a smaller batch would break groups",
}
"""Fields that cannot be set, and why."""


def defaults(method: Method) -> dict[str, Default]:
    """Ours for a method."""
    return BOTH | (GRPO if method == "grpo" else SFT)


def trainer_config(settings: Training, output: Path) -> GRPOConfig | SFTConfig:
    """TRL's config: our defaults, what was asked on top, and what cannot be otherwise.

    Raises:
        ConfigError: a field that TRL does not have (the nearest is named), that is not for
            setting, or that has an impossible value.
    """
    import torch
    from trl import GRPOConfig, SFTConfig

    method, fields = settings.train.method, settings.trainer
    kind = GRPOConfig if method == "grpo" else SFTConfig
    _check(kind, fields)
    on_gpu = torch.cuda.is_available() and not fields.get("use_cpu")
    settled: dict[str, Any] = {
        # On by default; on a CPU, bfloat16 is slower, there is memory enough, and none to pin.
        "bf16": on_gpu,
        "gradient_checkpointing": on_gpu,
        "dataloader_pin_memory": on_gpu,
        **{name: default.value for name, default in defaults(method).items()},
        **fields,
        "output_dir": str(output),
    }
    if method == "grpo":
        settled["shuffle_dataset"] = False
    settled["remove_unused_columns"] = False
    if "gradient_accumulation_steps" not in fields:
        group = settled.get("num_generations", GRPO["num_generations"].value)
        settled["gradient_accumulation_steps"] = _accumulated(
            settings.train.prompts_per_step * group, settled["per_device_train_batch_size"]
        )
    try:
        made = kind(**settled)
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"trainer: {error}") from None
    _refuse(made)
    if isinstance(made, GRPOConfig):
        made.save_steps = _between_generations(made)
    return made


def _refuse(config: GRPOConfig | SFTConfig) -> None:
    """Values that TRL takes and that would lose something here."""
    if config.save_strategy == "epoch":
        raise ConfigError(
            "trainer.save_strategy=epoch: all epochs are one pass here; set trainer.save_steps"
        )
    if config.save_strategy == "steps" and config.save_steps < 1:
        raise ConfigError(
            f"trainer.save_steps={config.save_steps:g}: give a number of steps, not a share of them"
        )
    per_generation = getattr(config, "steps_per_generation", None)
    if per_generation and per_generation < config.gradient_accumulation_steps:
        raise ConfigError(
            f"trainer.steps_per_generation={per_generation} is less than "
            f"trainer.gradient_accumulation_steps={config.gradient_accumulation_steps}: a step "
            "would sample more than once, and rollouts are kept by step; give at least as many"
        )


def _accumulated(answers: int, per_device: int) -> int:
    """Backward passes per optimiser step, so that all processes together see so many answers."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if answers % (per_device * processes):
        raise ConfigError(
            f"train.prompts_per_step groups of trainer.num_generations are {answers} answers per "
            f"step, which is no multiple of trainer.per_device_train_batch_size x processes "
            f"({per_device} x {processes}): change one of them"
        )
    return answers // (per_device * processes)


def _between_generations(config: GRPOConfig) -> int:
    """`save_steps` rounded up, so that no checkpoint lies inside the steps of one generation.

    TRL counts those from the start of the process, so that a resume inside would shift them.
    """
    passes = (config.steps_per_generation or 1) * config.num_iterations
    cycle = max(1, -(-passes // config.gradient_accumulation_steps))
    return -(-int(config.save_steps) // cycle) * cycle


def _check(kind: type, fields: Mapping[str, Any]) -> None:
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    hints = typing.get_type_hints(kind)
    for name, value in fields.items():
        if name not in known:
            raise ConfigError(
                f"unknown setting trainer.{name}: {kind.__name__} has no such field"
                f"{nearest(name, sorted(known))}"
            )
        if name in OURS:
            raise ConfigError(f"trainer.{name} cannot be set: {OURS[name]}")
        try:
            adapter = TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True))
            adapter.validate_python(value)
        except PydanticSchemaGenerationError:
            continue
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise ConfigError(f"trainer.{name}={value}: {said}") from None

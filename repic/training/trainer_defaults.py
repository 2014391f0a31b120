"""Defaults for fields of TRL's configs, with reasons, and the config of a run."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from repic.config import Method, Settings, nearest
from repic.errors import ConfigError
from repic.training import sharding

if TYPE_CHECKING:
    from trl import GRPOConfig, SFTConfig


@dataclasses.dataclass(frozen=True)
class TrainerDefault:
    """A value for a field of TRL's config, and its reason."""

    value: Any
    why: str


BOTH: dict[str, TrainerDefault] = {
    "learning_rate": TrainerDefault(1e-5, "the paper's; adapters want about 10 times TRL's 1e-6"),
    "per_device_train_batch_size": TrainerDefault(8, "one group at once"),
    "num_train_epochs": TrainerDefault(
        1.0, "the data itself repeats for each epoch, so that a resume keeps the order"
    ),
    "logging_steps": TrainerDefault(1, "curves and guards need every step"),
    "save_steps": TrainerDefault(50, "the most steps that a crash can lose"),
    "save_total_limit": TrainerDefault(2, "a second one, because the last may be incomplete"),
    "report_to": TrainerDefault("none", "curves are in the checkpoint; set wandb or tensorboard"),
    "disable_tqdm": TrainerDefault(True, "the command shows its own progress"),
}
GRPO: dict[str, TrainerDefault] = {
    "num_generations": TrainerDefault(8, "the paper's group"),
    "max_completion_length": TrainerDefault(256, "the paper's; a caption needs no more"),
    "temperature": TrainerDefault(1.0, "the policy itself is sampled, as the loss assumes"),
    "beta": TrainerDefault(0.04, "the paper's best; without it a shuffled reward drifts"),
    "loss_type": TrainerDefault("grpo", "a yes of 2 tokens counts as much as a caption of 60"),
    "scale_rewards": TrainerDefault("group", "the paper's"),
}
SFT: dict[str, TrainerDefault] = {
    "max_length": TrainerDefault(None, "TRL's 1,024 would truncate the tokens of a picture"),
    "completion_only_loss": TrainerDefault(True, "the model should learn answers, not prompts"),
}
OURS = {
    "output_dir": "the run's own folder, which a resume must find",
    "shuffle_dataset": "TRL's sampler repeats the same order in every epoch",
    "remove_unused_columns": "the reward needs the whole row",
    "reward_weights": "a single reward is trained; its components are logged",
    "max_length": "an image prompt must not be truncated",
    "auto_find_batch_size": "a smaller batch would break groups",
}
"""Fields that the user cannot set, and why."""


def defaults(method: Method) -> dict[str, TrainerDefault]:
    """Our defaults for a method."""
    return BOTH | (GRPO if method == "grpo" else SFT)


def trainer_config(settings: Settings, output: Path) -> GRPOConfig | SFTConfig:
    """TRL's config: our defaults, the user's fields over them, and the fixed ones.

    Raises:
        ConfigError: a field that TRL does not have (the nearest is named), that cannot be set,
            or that has an impossible value or needs a package that is not installed.
    """
    import torch
    from trl import GRPOConfig, SFTConfig

    method = settings.train.method
    kind = GRPOConfig if method == "grpo" else SFTConfig
    fields = _checked(kind, settings.trainer)
    on_gpu = torch.cuda.is_available() and not fields.get("use_cpu")
    values: dict[str, Any] = {
        # On a CPU, bfloat16 is slower, memory suffices, and there is none to pin.
        "bf16": on_gpu,
        "gradient_checkpointing": on_gpu,
        "dataloader_pin_memory": on_gpu,
        **{name: default.value for name, default in defaults(method).items()},
        **fields,
        "output_dir": str(output),
    }
    if method == "grpo":
        values["shuffle_dataset"] = False
    values["remove_unused_columns"] = False
    if "gradient_accumulation_steps" not in fields:
        group = values.get("num_generations", GRPO["num_generations"].value)
        values["gradient_accumulation_steps"] = _accumulated(
            settings.train.prompts_per_step * group, values["per_device_train_batch_size"]
        )
    try:
        config = kind(**values)
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"trainer: {error}") from None
    _refuse(config)
    sharding.check(config, settings.train.quantize == "4bit")
    _check_packages(config)
    if isinstance(config, GRPOConfig):
        config.save_steps = _between_generations(config)
    return config


def _refuse(config: GRPOConfig | SFTConfig) -> None:
    """Refuse values that TRL accepts but that would lose rollouts or checkpoints here."""
    if config.save_strategy == "epoch":
        raise ConfigError(
            "trainer.save_strategy=epoch: all epochs are one pass here; set trainer.save_steps"
        )
    if config.save_strategy == "steps" and config.save_steps < 1:
        raise ConfigError(
            f"trainer.save_steps={config.save_steps:g}: give a number of steps, not a share"
        )
    per_generation = getattr(config, "steps_per_generation", None)
    if per_generation and per_generation < config.gradient_accumulation_steps:
        raise ConfigError(
            f"trainer.steps_per_generation={per_generation} is less than "
            f"trainer.gradient_accumulation_steps={config.gradient_accumulation_steps}: a step "
            "would sample more than once, and rollouts are kept by step; give at least as many"
        )


def _check_packages(config: GRPOConfig | SFTConfig) -> None:
    """Look for the packages that fields need, before any model is loaded."""
    from transformers.utils import is_liger_kernel_available
    from trl.import_utils import is_vllm_available

    if getattr(config, "use_vllm", False) and not is_vllm_available():
        raise ConfigError(
            "vLLM is not installed: `pip install 'trl[vllm]'`, or train without --vllm "
            "(trainer.use_vllm)"
        )
    if config.use_liger_kernel and not is_liger_kernel_available():
        raise ConfigError(
            "Liger is not installed: `pip install liger-kernel`, or leave out "
            "trainer.use_liger_kernel"
        )
    _check_optimizer(config)
    _check_loggers(config)


def _check_optimizer(config: GRPOConfig | SFTConfig) -> None:
    from transformers import Trainer

    try:
        Trainer.get_optimizer_cls_and_kwargs(config)
    except (ImportError, ValueError) as error:
        # Some need the model, which is not here yet; they fail after the look for their package.
        if isinstance(error, ImportError) or "install" in str(error) or "import" in str(error):
            name = getattr(config.optim, "value", config.optim)
            raise ConfigError(f"trainer.optim={name}: {error}") from None


def _check_loggers(config: GRPOConfig | SFTConfig) -> None:
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in config.report_to or ():
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(sorted(INTEGRATION_TO_CALLBACK))
            raise ConfigError(f"trainer.report_to={name}: there is no such logger; one of {known}")
        if name not in {*get_available_reporting_integrations(), "flyte"}:
            raise ConfigError(
                f"trainer.report_to={name}: it is not installed; `pip install {name}`, or leave "
                "it out"
            )


def _accumulated(answers: int, per_device: int) -> int:
    """Backward passes per optimiser step that add up to `answers` over all processes."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if answers % (per_device * processes):
        raise ConfigError(
            f"train.prompts_per_step groups (of trainer.num_generations; sft: of 8) are {answers} "
            f"answers per step, not a multiple of trainer.per_device_train_batch_size x processes "
            f"({per_device} x {processes}): change one of them"
        )
    return answers // (per_device * processes)


def _between_generations(config: GRPOConfig) -> int:
    """`save_steps` rounded up to whole generations.

    TRL counts the steps of a generation from the start of the process; a resume inside one would
    shift all later ones.
    """
    passes = (config.steps_per_generation or 1) * config.num_iterations
    cycle = max(1, -(-passes // config.gradient_accumulation_steps))
    return -(-int(config.save_steps) // cycle) * cycle


def _checked(kind: type, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in the types that they have in TRL: `temperature=3` is 3.0."""
    checked = dict(fields)
    names = {field.name for field in dataclasses.fields(kind) if field.init}
    hints = typing.get_type_hints(kind)
    for name, value in fields.items():
        if name not in names:
            raise ConfigError(
                f"unknown setting trainer.{name}: {kind.__name__} has no such field"
                f"{nearest(name, sorted(names))}"
            )
        if name in OURS:
            raise ConfigError(f"trainer.{name} cannot be set: {OURS[name]}")
        try:
            adapter = TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True))
            checked[name] = adapter.validate_python(value)
        except PydanticSchemaGenerationError:
            continue
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise ConfigError(f"trainer.{name}={value}: {message}") from None
    return checked

"""Every setting of a training run. Fields of TRL's own config go through under `trainer`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from repic.config.profiles import Section, described, layered, validated
from repic.errors import ConfigError
from repic.objectives import OBJECTIVES
from repic.objectives.base import SPLITS

METHODS = ("grpo", "sft")
SECTIONS = ("train", "trainer", *METHODS)
LISTED = "`repic train --show-settings` lists them"
_SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")

Method = Literal["grpo", "sft"]


class Lora(Section):
    """The adapter on the language model's linear layers."""

    rank: int = Field(
        16, ge=1, description="Width of the adapter; 16 learns what 2,000 answers can teach."
    )
    alpha: int = Field(32, ge=1, description="Its weight is alpha / rank: 2 is usual.")
    dropout: float = Field(0.0, ge=0, lt=1, description="0: sampling and training see one policy.")


class Guards(Section):
    """When a run is stopped, and when it is only warned about."""

    kl: float = Field(
        1.0,
        gt=0,
        description="Stop above this KL per token, in nats, as a mean of `window` steps.",
    )
    entropy_low: float = Field(
        0.1, ge=0, lt=1, description="Stop below this share of the entropy at the start: collapse."
    )
    entropy_high: float = Field(
        2.0, gt=1, description="Stop above this multiple of the entropy at the start."
    )
    entropy_slack: float = Field(
        0.1, ge=0, description="Nats per token by which both limits are wider: near 0 all is noise."
    )
    reward_drop: float = Field(
        0.1, ge=0, le=1, description="Reward below the start by more than this is a fall."
    )
    window: int = Field(
        10, ge=1, description="Steps that are averaged; the first window is the start."
    )
    patience: int = Field(50, ge=1, description="Steps in a row that a fall may last.")
    zero_variance: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Warn above this share of groups whose answers score alike.",
    )
    unscored: float = Field(
        0.05, ge=0, le=1, description="Warn above this share of answers without a score."
    )


class Difficulty(Section):
    """Which rows are left out because earlier rollouts say that they teach little."""

    rollouts: str | None = Field(
        None, description="Version that says how hard rows are, as rollouts@v3; none: all are used."
    )
    answers: int = Field(4, ge=1, description="Fewer answers than these say nothing of a row.")
    easy: float = Field(0.95, ge=0, le=1, description="Mean reward from which a row is too easy.")
    hard: float = Field(0.05, ge=0, le=1, description="Mean reward up to which it is too hard.")
    keep_easy: float = Field(0.25, ge=0, le=1, description="Share of the too easy that is used.")
    keep_hard: float = Field(0.25, ge=0, le=1, description="Share of the too hard that is used.")


class Measure(Section):
    """The evaluation on held-out rows before and after training."""

    split: str = Field("validation", description="Rows of this split; never test, to report on.")
    per_objective: int = Field(100, ge=0, description="Most rows of each objective; 0: none.")
    batch_size: int = Field(16, ge=1, description="Prompts that are answered at once.")
    max_new_tokens: int = Field(
        256, ge=1, description="sft: longest answer; grpo: trainer.max_completion_length."
    )

    @field_validator("split")
    @classmethod
    def _known(cls, split: str) -> str:
        return _split(split)


class Train(Section):
    """What is trained on what."""

    model: str = Field(
        "sample-sft", description="sample-sft, sample-full, a folder, or a name on the hub."
    )
    method: Method = Field("grpo", description="grpo: from rewards; sft: from the true answers.")
    mode: Literal["strict", "paper"] = Field(
        "strict", description="Our rewards, or the released ones with their holes."
    )
    boxes: Literal["auto", "qwen2-vl", "qwen3-vl", "internvl", "normalised"] = Field(
        "auto", description="How the model writes a box; auto: as its family does."
    )
    reward_urls: list[str] = Field(
        [],
        exclude=True,  # who scores does not decide what a run comes to
        description="Reward workers that score answers; none: this process does.",
    )
    split: str = Field("train", description="Rows of this split are trained on.")
    shares: dict[str, float] = Field(
        {},
        description="Share of each objective in what is trained on; none: as the version has them.",
    )
    difficulty: Difficulty = Difficulty()
    control: Literal["none", "shuffled", "format"] = Field(
        "none", description="Train on rewards of others, or on form alone: for experiments."
    )
    prompts_per_step: int = Field(
        2,
        ge=1,
        description="Groups per optimiser step, over all GPUs; sft: as many answers. Accumulation "
        "follows from it.",
    )
    max_prompt_tokens: int = Field(
        4096, ge=1, description="Longest prompt, pictures included; a longer one stops preflight."
    )
    lora: Lora = Lora()
    guards: Guards = Guards()
    measure: Measure = Measure()

    @field_validator("split")
    @classmethod
    def _known(cls, split: str) -> str:
        return _split(split)

    @field_validator("shares")
    @classmethod
    def _of_objectives(cls, shares: dict[str, float]) -> dict[str, float]:
        for name, share in shares.items():
            if name not in OBJECTIVES:
                raise ValueError(f"{name!r} is no objective: one of {', '.join(OBJECTIVES)}")
            if share < 0:
                raise ValueError(f"the share of {name} is {share}, and must be 0 or more")
        return shares

    @model_validator(mode="after")
    def _form_is_strict(self) -> Train:
        if self.control == "format" and self.mode == "paper":
            raise ValueError("control=format reads the parts of strict rewards: set mode=strict")
        return self

    @field_validator("reward_urls")
    @classmethod
    def _reachable(cls, urls: list[str]) -> list[str]:
        for url in urls:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError(f"{url!r} is no address such as http://127.0.0.1:8899")
        return urls


class Training(Section):
    """One training run, completely."""

    train: Train = Train()
    trainer: dict[str, Any] = Field(
        default={}, description="Fields of TRL's GRPOConfig or SFTConfig, over our defaults."
    )

    @field_validator("trainer")
    @classmethod
    def _meant(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: _meant(name, value) for name, value in fields.items()}


def _meant(name: str, value: Any) -> Any:
    """What YAML 1.1 takes for something else: 2e-5 has no point, and `no` is a truth value."""
    if isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
        return float(value)
    return "no" if value is False and name.endswith("_strategy") else value


def load(profile: str = "sample", overrides: Iterable[str] = (), **values: Any) -> Training:
    """The sections of a profile that are about training, with changes on top.

    Fields of TRL's config that only one method has, or that mean another thing in the other, stand
    in a profile under `grpo` or `sft`; they join `trainer` if that method is asked for.

    Args:
        values: Of `train`, between the profile and the overrides; None leaves it as it is.

    Raises:
        ConfigError: unknown profile, unknown key (the nearest is named) or impossible value.
    """
    given = {key: value for key, value in values.items() if value is not None}
    data = layered(profile, overrides, {"train": given}, only=SECTIONS)
    own = {method: data.pop(method, None) or {} for method in METHODS}
    train, trainer = data.get("train") or {}, data.get("trainer") or {}
    if not all(isinstance(fields, dict) for fields in (train, trainer, *own.values())):
        raise ConfigError(f"{', '.join(SECTIONS)} must hold settings by name; {LISTED}")
    data["trainer"] = {**own.get(str(train.get("method", "grpo")), {}), **trainer}
    return validated(Training, data, LISTED)


def describe() -> list[tuple[str, str, str]]:
    """Every setting as (key, default, help); those of TRL are in `repic.train.trainer_defaults`."""
    return [entry for entry in described(Training) if entry[0] != "trainer"]


def _split(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"a split is one of {', '.join(SPLITS)}")
    return split

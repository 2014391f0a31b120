"""Settings of a training run; fields of TRL's own config go into the section `trainer`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from repic.config.build import SPLITS, Objective, Weight
from repic.config.section import Section, added
from repic.errors import ConfigError

Method = Literal["grpo", "sft"]
METHODS: tuple[Method, ...] = get_args(Method)
Attention = Literal["auto", "sdpa", "eager", "flash"]
_SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


class LoraSettings(Section):
    """The adapter on the language model's linear layers."""

    rank: int = Field(
        16, ge=1, description="Rank of the adapter; 16 is enough for some 2,000 answers."
    )
    alpha: int = Field(32, ge=1, description="The adapter is scaled by alpha / rank; 2 is usual.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="With 0, sampling and training use the same policy."
    )


class ResizeSettings(Section):
    """The size of pictures in prompts, before the model's own processor."""

    one: int | None = Field(
        None, ge=1, description="Longest shorter side in pixels where a prompt has one picture."
    )
    several: int | None = Field(
        None, ge=1, description="Longest shorter side in pixels where it has several."
    )


class GuardSettings(Section):
    """When a run is stopped, and when it only warns."""

    kl: float = Field(
        1.0,
        gt=0,
        description="Stop above this KL per token, in nats, averaged over `window` steps.",
    )
    entropy_low: float = Field(
        0.1, ge=0, lt=1, description="Stop below this share of the initial entropy (collapse)."
    )
    entropy_high: float = Field(
        2.0, gt=1, description="Stop above this multiple of the initial entropy."
    )
    entropy_slack: float = Field(
        0.1,
        ge=0,
        description="Nats per token added to both limits, since entropies near 0 are noisy.",
    )
    reward_drop: float = Field(
        0.1,
        ge=0,
        le=1,
        description="A reward lower than the initial one by more than this counts as a drop.",
    )
    window: int = Field(
        10, ge=1, description="Steps to average; the first window gives the initial values."
    )
    patience: int = Field(50, ge=1, description="Consecutive steps that a drop may last.")
    zero_variance: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Warn above this share of groups whose answers all score the same.",
    )
    unscored: float = Field(
        0.05, ge=0, le=1, description="Warn above this share of answers without a score."
    )


class DifficultySettings(Section):
    """Which rows to skip because earlier rollouts found them too easy or too hard."""

    rollouts: str | None = Field(
        None,
        description="Rollouts that measure difficulty, such as rollouts@v3; empty: use all rows.",
    )
    answers: int = Field(
        4, ge=1, description="Answers a row needs before it counts as easy or hard."
    )
    easy: float = Field(
        0.95, ge=0, le=1, description="Rows with at least this mean reward are too easy."
    )
    hard: float = Field(
        0.05, ge=0, le=1, description="Rows with at most this mean reward are too hard."
    )
    keep_easy: float = Field(0.25, ge=0, le=1, description="Share of too easy rows to keep.")
    keep_hard: float = Field(0.25, ge=0, le=1, description="Share of too hard rows to keep.")


class MeasureSettings(Section):
    """The evaluation on held-out rows before and after training."""

    split: str = Field(
        "validation", description="Split to measure on; keep test for the final report."
    )
    per_objective: int = Field(100, ge=0, description="Most rows per objective; 0 turns it off.")
    batch_size: int = Field(16, ge=1, description="Prompts per batch.")
    max_new_tokens: int = Field(
        256, ge=1, description="Longest answer with sft; grpo uses trainer.max_completion_length."
    )

    @field_validator("split")
    @classmethod
    def _known(cls, split: str) -> str:
        return _check_split(split)


class TrainSettings(Section):
    """The model, the rows and the method of a training run."""

    model: str = Field(
        "sample-base", description="sample-base, sample-full, a folder, or a hub name."
    )
    method: Method = Field("grpo", description="grpo trains on rewards, sft on the true answers.")
    mode: Literal["strict", "paper"] = Field(
        "strict", description="Our rewards (strict), or those that the paper released (paper)."
    )
    boxes: Literal["auto", "qwen2-vl", "qwen3-vl", "internvl", "normalised"] = Field(
        "auto", description="How the model writes boxes; auto: the convention of its family."
    )
    tune: Literal["lora", "full"] = added(
        "lora",
        description="lora trains an adapter of the language model, full all of its weights; the "
        "vision tower stays frozen.",
    )
    quantize: Literal["none", "4bit"] = added(
        "none", description="4bit: the language model below the adapter in 4 bits (QLoRA)."
    )
    attention: Attention = added(
        "auto", description="Implementation of attention; auto: that of transformers; flash: a GPU."
    )
    min_pixels: int | None = added(
        None, ge=1, description="Qwen-VL: smaller pictures (area) are enlarged to this."
    )
    max_pixels: int | None = added(
        None,
        ge=1,
        description="Qwen-VL: larger pictures (area) are reduced to this; 784 pixels are a token.",
    )
    reward_urls: list[str] = Field(
        [],
        exclude=True,  # where answers are scored does not change the result
        description="Reward workers that score the answers; empty: this process scores them.",
    )
    split: str = Field("train", description="Split to train on.")
    shares: dict[Objective, Weight] = Field(
        {},
        description="Share of each objective among the training rows; empty: as in the dataset.",
    )
    difficulty: DifficultySettings = DifficultySettings()
    control: Literal["none", "shuffled", "format"] = Field(
        "none", description="Ablations: train on rewards of other rows, or on the format alone."
    )
    prompts_per_step: int = Field(
        2,
        ge=1,
        description="Groups of trainer.num_generations answers per optimizer step over all GPUs "
        "(sft: of 8); sets gradient accumulation.",
    )
    max_prompt_tokens: int = Field(
        4096,
        ge=1,
        description="Longest prompt including image tokens; preflight refuses longer ones.",
    )
    resize: ResizeSettings = added(ResizeSettings())
    lora: LoraSettings = LoraSettings()
    guards: GuardSettings = GuardSettings()
    measure: MeasureSettings = MeasureSettings()

    @field_validator("split")
    @classmethod
    def _known(cls, split: str) -> str:
        return _check_split(split)

    @model_validator(mode="after")
    def _fits_together(self) -> TrainSettings:
        if self.tune == "full" and self.quantize != "none":
            raise ValueError("tune=full trains all weights, which 4 bits cannot hold: tune=lora")
        if self.control == "format" and self.mode == "paper":
            raise ValueError(
                "control=format needs the components of strict rewards: set mode=strict"
            )
        return self

    @field_validator("reward_urls")
    @classmethod
    def _reachable(cls, urls: list[str]) -> list[str]:
        for url in urls:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError(f"{url!r} is not an address such as http://127.0.0.1:8899")
        return urls


def trainer_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of TRL's config: those of the section `trainer` over those of the chosen method.

    A profile keeps fields that only one method has, or that differ between methods, in a section
    `grpo` or `sft`.

    Args:
        data: Nested settings; the sections train, trainer, grpo and sft are read.

    Raises:
        ConfigError: one of these is not a mapping.
    """
    sections = {name: data.get(name) or {} for name in ("train", "trainer", *METHODS)}
    if not all(isinstance(fields, dict) for fields in sections.values()):
        raise ConfigError(
            f"{', '.join(sections)} must hold settings by name; "
            "`repic train --show-settings` lists them"
        )
    method = str(sections["train"].get("method", "grpo"))
    return {**sections.get(method, {}), **sections["trainer"]}


def as_meant(name: str, value: Any) -> Any:
    """A value that YAML 1.1 misreads: 2e-5 without a point is text, and `no` is false."""
    if isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
        return float(value)
    return "no" if value is False and name.endswith("_strategy") else value


def _check_split(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"a split is one of {', '.join(SPLITS)}")
    return split

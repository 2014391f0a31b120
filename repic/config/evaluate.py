"""Every setting of an evaluation: the section `evaluate`, and who finds and encodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

from pydantic import Field

from repic.config.build import DetectorSettings, EncoderSettings, Runtime
from repic.config.profiles import Section, described, layered, validated

SECTIONS = ("evaluate", "detector", "encoder", "runtime")
LISTED = "`repic evaluate run --show-settings` lists them"

SuiteName = Literal[
    "sample", "sample-ood", "dreambooth", "myvlm", "yollava", "repic-2c", "repic-4c"
]
Protocol = Literal["skip-retrieval", "retrieval", "retrieval-forced", "wrong", "mixed"]
Layout = Literal["training", "paper"]
SUITES: tuple[SuiteName, ...] = get_args(SuiteName)
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


class Evaluation(Section):
    """What a model is asked, and how its captions are made."""

    suite: SuiteName = Field("sample", description="Whose photos: one of " + ", ".join(SUITES))
    folder: str | None = Field(
        None, description="Where the photos of a suite lie that is not generated."
    )
    photos: int = Field(
        32, ge=8, description="Generated photos of each part; other suites are used whole."
    )
    seed: int = Field(
        0, description="Of everything that is drawn: worlds, names, wrong references."
    )
    protocols: tuple[Protocol, ...] = Field(
        PROTOCOLS,
        min_length=1,
        description="skip-retrieval: the true references; retrieval: those found, or none; "
        "retrieval-forced: always the nearest top_k; wrong: absent ones; mixed: some of each.",
    )
    layout: Layout = Field(
        "training", description="training: prompts as in training; paper: `Name, Info` of each."
    )
    top_k: int = Field(
        0, ge=0, description="References of retrieval-forced; 0: 2, and 4 for photos of four."
    )
    threshold: float | None = Field(
        None, ge=-1, le=1, description="Cosine from which a crop is a reference; empty: calibrated."
    )
    backend: Literal["transformers", "vllm", "server"] = Field(
        "transformers", description="Who generates; server: an OpenAI-compatible one at url."
    )
    url: str | None = Field(None, description="Of the server, for example http://host:8000/v1.")
    api_key_env: str | None = Field(
        None, description="Environment variable that holds the server's key."
    )
    timeout: float = Field(120.0, gt=0, description="Seconds that the server has for a caption.")
    batch_size: int = Field(16, ge=1, description="Captions that are made at once.")
    max_new_tokens: int = Field(256, ge=1, description="Longest caption, in tokens; greedy.")
    max_pixels: int | None = Field(
        None,
        ge=28 * 28,
        description="Most pixels of a picture that the model sees; empty: as its processor "
        "says. The paper's: 802816.",
    )
    clip_score: bool = Field(
        True, description="Score captions against their photos, if the encoder reads texts."
    )


class Asked(Section):
    """One evaluation, completely."""

    evaluate: Evaluation = Evaluation()
    detector: DetectorSettings = DetectorSettings()
    encoder: EncoderSettings = EncoderSettings()
    runtime: Runtime = Runtime()


def load(profile: str = "sample", overrides: Iterable[str] = (), **values: Any) -> Asked:
    """Settings of a profile with changes on top.

    Args:
        values: Of `evaluate`, between the profile and the overrides; None leaves it as it is.

    Raises:
        ConfigError: unknown profile, unknown key (the nearest is named) or impossible value.
    """
    given = {key: value for key, value in values.items() if value is not None}
    data = layered(profile, overrides, {"evaluate": given}, only=SECTIONS)
    return validated(Asked, data, LISTED)


def describe() -> list[tuple[str, str, str]]:
    """Every setting as (key, default, help)."""
    return list(described(Asked))

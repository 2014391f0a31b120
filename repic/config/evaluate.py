"""Settings of an evaluation: which suite and protocols, and how captions are generated."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from repic.config.section import Section, added

SuiteName = Literal[
    "sample", "sample-ood", "dreambooth", "myvlm", "yollava", "mc-llava", "repic-2c", "repic-4c"
]
Protocol = Literal["skip-retrieval", "retrieval", "retrieval-forced", "wrong", "mixed"]
Layout = Literal["training", "paper"]
NoBox = Literal["whole-photo", "no-reference"]
SUITES: tuple[SuiteName, ...] = get_args(SuiteName)
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


class EvaluateSettings(Section):
    """What the model is asked to caption, and how it generates."""

    suite: SuiteName = Field(
        "sample", description="Photos and names to evaluate on: one of " + ", ".join(SUITES)
    )
    task: Literal["caption", "recognition", "vqa"] = added(
        "caption",
        description="caption: captions of the photos; recognition: whether a concept is in a "
        "photo, yes or no; vqa: the multiple-choice questions of yollava and mc-llava.",
    )
    negatives: int = added(
        0,
        ge=0,
        description="Absent concepts that recognition asks about per photo; 0: all there are.",
    )
    folder: str | None = Field(
        None, description="Folder with the photos of the suite, unless they are generated."
    )
    photos: int = Field(
        32,
        ge=8,
        description="Photos per part of a generated suite, at least 8; other suites are used "
        "completely.",
    )
    seed: int = Field(0, description="Seed of all random choices: worlds, names, wrong references.")
    protocols: tuple[Protocol, ...] = Field(
        PROTOCOLS,
        min_length=1,
        description="skip-retrieval: the true references; retrieval: those retrieved, or none; "
        "retrieval-forced: always the nearest top_k; wrong: absent ones; mixed: some of each.",
    )
    layout: Layout = Field(
        "training",
        description="training: prompts as in training; paper: a system's turn, and numbered "
        "references with `Name, Info`.",
    )
    requests: str | None = added(
        None,
        description="File of captions whose fourth column is what was asked about each photo.",
    )
    captions: str | None = added(
        None,
        description="File of reference captions of the photos; adds BLEU, ROUGE-L and CIDEr.",
    )
    facts: str | None = added(
        None,
        description="Concept file with facts that captions are asked about; empty: the suite's.",
    )
    top_k: int = Field(
        0,
        ge=0,
        description="References of retrieval-forced; 0: 2, or 4 for photos with four concepts.",
    )
    threshold: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="Lowest cosine at which a crop matches a reference; empty: calibrated.",
    )
    no_box: NoBox = added(
        "whole-photo",
        description="Retrieval where the detector finds no box: whole-photo searches with the "
        "photo; no-reference shows none, as the paper's scripts do.",
    )
    backend: Literal["transformers", "vllm", "server"] = Field(
        "transformers", description="What generates; server: an OpenAI-compatible server at url."
    )
    url: str | None = Field(None, description="URL of the server, such as http://host:8000/v1.")
    api_key_env: str | None = Field(
        None, description="Environment variable that holds the server's key."
    )
    timeout: float = Field(
        120.0, gt=0, description="Seconds to wait for a caption from the server."
    )
    batch_size: int = Field(16, ge=1, description="Captions per batch.")
    max_new_tokens: int = Field(
        256, ge=1, description="Longest caption in tokens; decoding is greedy."
    )
    max_pixels: int | None = Field(
        None,
        ge=28 * 28,
        description="Most pixels per image that the model sees; empty: its processor's limit. "
        "The paper uses 802816.",
    )
    clip_score: bool = Field(
        True, description="Also compute CLIPScore, if the encoder has a text tower."
    )

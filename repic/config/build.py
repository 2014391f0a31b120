"""Every setting of a build, typed; those of training are in `repic.config.train`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from repic.config.profiles import Section, described, layered, profiles, validated
from repic.errors import ConfigError
from repic.images import uris

__all__ = [
    "ConfigError",
    "Section",
    "Settings",
    "load",
    "located",
    "profiles",
    "recorded",
    "requested",
]

Band = Literal["easy", "medium", "hard"]
ELSEWHERE = ("train", "trainer", "grpo", "sft", "evaluate", "refresh")
"""Sections that a build has no use for: of `repic.train`, `repic.evaluate` and `repic.refresh`."""
LOCAL = "local-dir:"
"""OpenCLIP's prefix of a folder of weights."""
LISTED = "`repic build --show-settings` lists them"


class Source(Section):
    """Where photos come from."""

    kind: Literal["folder", "coco", "hf", "subjects200k", "sample"] = Field(
        "folder", description="What `path` is; sample generates photos."
    )
    path: str | None = Field(
        None, description="Folder, annotation file or data set; a path or URL."
    )
    images: str | None = Field(
        None, description="coco: the folder that file names are relative to."
    )
    refs: str | None = Field(None, description="coco: RefCOCO-style referring expressions (JSON).")
    identity: Literal["folder", "annotation", "none"] = Field(
        "folder",
        description="What labels an identity: the sub-folder, the source's annotation, nothing.",
    )
    split: str = Field("train", description="hf, subjects200k: the split to read.")
    image_column: str = Field("image", description="hf: the column that holds the photo.")
    identity_column: str | None = Field(
        None, description="hf: the column that names what it shows."
    )
    caption_column: str | None = Field(
        None, description="hf: the column that holds a true caption."
    )
    min_quality: int = Field(5, ge=0, le=5, description="subjects200k: lowest of its three grades.")
    licence: str | None = Field(None, description="Licence of all photos of this source.")
    count: int = Field(400, ge=1, description="sample: photos to generate.")
    identities: int = Field(60, ge=2, description="sample: how many identities appear in them.")
    size: int = Field(168, ge=56, description="sample: pixels of a side.")
    seed: int = Field(0, description="sample: which world is generated.")

    @model_validator(mode="after")
    def _has_a_path(self) -> Source:
        if self.kind != "sample" and not self.path:
            raise ValueError(
                f"a source of kind {self.kind} needs a path (source.path, or --images)"
            )
        return self


class DetectorSettings(Section):
    """Who draws boxes."""

    kind: Literal["annotation", "photos", "yolo", "yolo-world", "yoloe", "transformers"] = Field(
        "photos", description="annotation: the source's own boxes; else a family of models."
    )
    checkpoint: str | None = Field(
        None,
        description="Weights: a file name, a folder or a hub name; yolo: `sample` for generated "
        "photos.",
    )
    vocabulary: tuple[str, ...] = Field(
        (), description="Categories asked for; empty: the model's own."
    )
    text_encoder: str | None = Field(
        None,
        description="OpenCLIP ARCH:TAG for the vocabulary; empty: the detector's own.",
    )
    confidence: float = Field(0.25, ge=0, le=1, description="Boxes below are not kept.")
    iou: float = Field(0.7, gt=0, le=1, description="Boxes of one label that overlap more are one.")
    image_size: int = Field(640, ge=32, description="Pixels of the square that the model sees.")
    max_objects: int = Field(20, ge=1, description="Most boxes kept per photo, by confidence.")
    min_area_share: float = Field(0.005, ge=0, lt=1, description="Smaller boxes are not kept.")
    expressions: Literal["annotation", "none"] = Field(
        "none",
        description="annotation: a drawn box gets the referring expressions of the annotated "
        "object that it overlaps by half.",
    )


class EncoderSettings(Section):
    """Who turns a crop into a vector."""

    architecture: str = Field(
        "photos",
        description="OpenCLIP architecture, `photos`, or `sample` for generated photos.",
    )
    pretrained: str = Field("", description="OpenCLIP tag, or local-dir:FOLDER.")
    view: Literal["crop", "photo"] = Field("crop", description="What of the photo is encoded.")
    margin: float = Field(
        0.0, ge=0, le=1, description="Crop grown on each side, in shares of its size."
    )


class Mining(Section):
    """Which pairs are kept; see `repic.mining` for the rules."""

    positives_per_object: int = Field(4, ge=1, description="Most positives kept per anchor.")
    hard_per_object: int = Field(2, ge=0, description="Hard negatives per anchor.")
    medium_per_object: int = Field(1, ge=0, description="Medium negatives per anchor.")
    easy_per_object: int = Field(1, ge=0, description="Easy negatives per anchor.")
    near_duplicate_bits: int = Field(
        6,
        ge=0,
        le=32,
        description="Most differing bits of 64 in the perceptual hashes of near-duplicates.",
    )


class Splits(Section):
    """Shares of the identity groups; the rest is train."""

    validation: float = Field(0.1, ge=0, lt=1, description="Share of groups to tune on.")
    test: float = Field(0.1, ge=0, lt=1, description="Share of groups to report on.")
    salt: str = Field("repic", description="Change it to draw other groups.")

    @model_validator(mode="after")
    def _leaves_train(self) -> Splits:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave something to train on")
        return self


class Names(Section):
    """Names that references get."""

    locales: tuple[str, ...] = Field(
        ("en_US", "fr_FR", "it_IT", "ko_KR", "zh_CN"), min_length=1, description="Faker locales."
    )


class Oct(Section):
    """Is it the same object: yes or no."""

    negatives_per_positive: float = Field(1.0, ge=0, description="1 is balanced.")
    band_shares: dict[Band, float] = Field(
        {"hard": 0.5, "medium": 0.25, "easy": 0.25}, description="Bands of the negatives."
    )


class Vlt(Section):
    """Where is it: a box."""

    max_per_photo: int = Field(2, ge=1, description="Expressions asked per photo.")
    max_area_share: float = Field(0.9, gt=0, le=1, description="Larger objects teach nothing.")


class Ict(Section):
    """Caption the photo and use the right names."""

    shares: dict[Literal["single", "multi", "absent", "mixed", "which"], float] = Field(
        {"single": 0.35, "multi": 0.2, "absent": 0.15, "mixed": 0.2, "which": 0.1},
        description="Kinds of rows; a kind that cannot be made leaves its share to the others.",
    )
    max_references: int = Field(
        4, ge=2, le=8, description="Most references in a multi or mixed row."
    )
    same_photo_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Multi rows whose references are crops of the query itself, as the paper's.",
    )
    info_share: float = Field(0.5, ge=0, le=1, description="Rows that give `Name, Info` text.")
    use_name_share: float = Field(0.2, ge=0, le=1, description="Rows that ask to use the name.")
    no_copy_share: float = Field(
        0.2, ge=0, le=1, description="Rows that ask not to repeat the given text."
    )
    per_positive: int = Field(1, ge=1, description="Rows drawn per positive pair.")


class Examples(Section):
    """How pairs become training examples."""

    seed: int = Field(0, description="Of everything that is drawn: names, templates, choices.")
    total: int | None = Field(
        None, ge=1, description="Most training rows; empty: all that can be made."
    )
    shares: dict[Literal["oct", "vlt", "ict"], float] | None = Field(
        None, description="Share of each objective among all rows; empty: whatever can be made."
    )
    names: Names = Names()
    oct: Oct = Oct()
    vlt: Vlt = Vlt()
    ict: Ict = Ict()


class Judge(Section):
    """Who compares a caption with the true one; nobody without an endpoint."""

    url: str | None = Field(
        None, description="OpenAI-compatible endpoint, such as http://host:8000/v1; empty: none."
    )
    model: str = Field("", description="Model that the endpoint is asked for.")
    api_key_env: str | None = Field(
        None, description="Environment variable that holds the key; never the key itself."
    )
    timeout: float = Field(20.0, gt=0, description="Seconds to wait for one answer.")
    weight: float = Field(
        0.3, ge=0, le=1, description="Share of the reward that a lost comparison takes away."
    )


class ClipScore(Section):
    """Whether a caption fits its photo, by the configured encoder."""

    weight: float = Field(
        0.0, ge=0, le=1, description="Share of the reward that the worst fit takes away; 0: none."
    )
    scale: float = Field(
        2.5, gt=0, description="Score is the cosine times this, at most 1; 2.5 as in CLIPScore."
    )


class Rewards(Section):
    """How completions are scored, beyond the rules, by reward workers."""

    judge: Judge = Judge()
    clip_score: ClipScore = ClipScore()


class Quarantine(Section):
    """When too many files are bad to publish the rest; changes no row."""

    budget: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of files that may be refused, but one always may; 0: none may.",
    )


class Runtime(Section):
    """How work is done. Device, precision, threads and batch are part of a model's fingerprint."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on CUDA, float32 elsewhere."
    )
    threads: int = Field(2, ge=1, description="Threads of one model on a CPU.")
    batch_size: int = Field(
        16, ge=1, description="Images that a model sees at once; the last batch is padded."
    )
    workers: int = Field(4, ge=1, description="Photos that are read at the same time.")
    shard_rows: int = Field(
        256, ge=1, description="Inputs per shard: what a crash can lose, and one task of the flow."
    )


class Settings(Section):
    """One build, completely."""

    source: Source
    detector: DetectorSettings = DetectorSettings()
    encoder: EncoderSettings = EncoderSettings()
    mining: Mining = Mining()
    splits: Splits = Splits()
    examples: Examples = Examples()
    rewards: Rewards = Rewards()
    quarantine: Quarantine = Quarantine()
    runtime: Runtime = Runtime()


def load(profile: str = "photos", overrides: tuple[str, ...] = (), **values: Any) -> Settings:
    """Settings of a profile (a name, or the path of a YAML file) with changes on top.

    Args:
        overrides: `section.key=value` each; the value is read as YAML.
        values: Nested values that go between the profile and the overrides.

    Raises:
        ConfigError: unknown profile, unknown key (the nearest is named) or impossible value.
    """
    return recorded(layered(profile, overrides, values, without=ELSEWHERE))


def recorded(data: Mapping[str, Any]) -> Settings:
    """Settings as a mapping of all that is not default, for example out of a dataset's manifest.

    Raises:
        ConfigError: unknown key or impossible value.
    """
    return validated(Settings, data, LISTED)


def requested(
    images: str | None, profile: str, identity: str | None, overrides: list[str]
) -> Settings:
    """Settings as a person asks for a build: a folder, a profile, changes.

    Raises:
        ConfigError: as `load`.
    """
    source: dict[str, Any] = {"identity": identity} if identity else {}
    if images:
        source |= {"kind": "folder", "path": images}
    return load(profile, tuple(overrides), source=source)


def located(settings: Settings) -> Settings:
    """The same build from any folder: what is here by its whole path; URLs and names of hubs stay.

    No fingerprint changes: weights and photos count by what is in them.
    """
    source = {name: _whole(getattr(settings.source, name)) for name in ("path", "images", "refs")}
    detector, encoder = settings.detector, settings.encoder
    checkpoint, tag = detector.checkpoint, encoder.pretrained
    return settings.model_copy(
        update={
            "source": settings.source.model_copy(update=source),
            "detector": detector.model_copy(
                update={
                    "checkpoint": checkpoint if checkpoint == "sample" else _whole(checkpoint),
                    "text_encoder": _whole_folder(detector.text_encoder),
                }
            ),
            "encoder": encoder.model_copy(
                update={"pretrained": _whole(tag) if os.path.isfile(tag) else _whole_folder(tag)}
            ),
        }
    )


def _whole(path: str | None) -> str | None:
    if path is None or uris.is_url(path) or not os.path.exists(os.path.expanduser(path)):
        return path
    return os.path.abspath(os.path.expanduser(path))


def _whole_folder(weights: str | None) -> str | None:
    if weights is None or not weights.startswith(LOCAL):
        return weights
    return f"{LOCAL}{_whole(weights.removeprefix(LOCAL))}"


def describe() -> list[tuple[str, str, str]]:
    """Every setting as (key, default, help), for `repic build --show-settings`."""
    return list(described(Settings))

"""The one tree of settings, and how it is loaded from a profile and overrides."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, field_validator, model_validator

from repic.config import plugins
from repic.config.build import (
    DetectorSettings,
    EncoderSettings,
    ExampleSettings,
    LabelSettings,
    MiningSettings,
    QuarantineSettings,
    RewardSettings,
    RuntimeSettings,
    SplitSettings,
)
from repic.config.evaluate import EvaluateSettings
from repic.config.profiles import layered, section_of
from repic.config.refresh import RefreshSettings
from repic.config.section import Section, described, is_utf8, validated
from repic.config.source_lists import as_read, completed, named
from repic.config.sources import SourceSettings
from repic.config.train import METHODS, TrainSettings, as_meant, trainer_fields
from repic.errors import ConfigError
from repic.images import uris


class Settings(Section):
    """All settings. Each command reads its own sections and ignores the others."""

    sources: tuple[SourceSettings, ...] = Field(
        named([SourceSettings()]),
        min_length=1,
        description="Where photos come from: a list of sections `source`, for several at once.",
    )
    detector: DetectorSettings = DetectorSettings()
    encoder: EncoderSettings = EncoderSettings()
    mining: MiningSettings = MiningSettings()
    splits: SplitSettings = SplitSettings()
    labels: LabelSettings = LabelSettings()
    examples: ExampleSettings = ExampleSettings()
    rewards: RewardSettings = RewardSettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    train: TrainSettings = TrainSettings()
    trainer: dict[str, Any] = Field(
        default={}, description="Fields of TRL's GRPOConfig or SFTConfig, over our defaults."
    )
    evaluate: EvaluateSettings = EvaluateSettings()
    refresh: RefreshSettings = RefreshSettings()

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, data: Any) -> Any:
        return completed(data) if isinstance(data, Mapping) else data

    @field_validator("sources")
    @classmethod
    def _named(cls, sources: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        return named(sources)

    @field_validator("trainer")
    @classmethod
    def _as_meant(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: as_meant(name, value) for name, value in fields.items()}

    def detector_of(self, source: SourceSettings) -> DetectorSettings:
        """The detector of the photos of a source."""
        return source.detector or self.detector

    def record(self, scope: Scope) -> dict[str, Any]:
        """The sections of a command as JSON, for manifests and fingerprints."""
        data = self.model_dump(mode="json", include=set(scope.sections))
        for key in scope.keys:
            section, _, name = key.partition(".")
            own = self.model_dump(mode="json", include={section: {name}})
            if section not in scope.sections and own.get(section):
                data |= own
        return data


@dataclass(frozen=True)
class Scope:
    """A command and the sections of settings that it reads.

    Attributes:
        keys: Settings of other sections that it reads too; recorded unless they are empty.
    """

    command: str
    sections: tuple[str, ...]
    keys: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """Sentence for errors: how to list all settings of the command."""
        commands = ("build", "train") if self.command == "doctor dataset" else (self.command,)
        listing = " and ".join(f"`repic {command} --show-settings`" for command in commands)
        return f"{listing} list{'s' if len(commands) == 1 else ''} them"


BUILD = Scope(
    "build",
    (
        *("sources", "detector", "encoder", "mining", "splits"),
        *("labels", "examples", "rewards", "quarantine", "runtime"),
    ),
)
STRIP = "rewards.strip"
TRAIN = Scope("train", ("train", "trainer"), (STRIP,))
DOCTOR = Scope("doctor dataset", ("examples", "train", "trainer"), (STRIP,))
EVALUATE = Scope("evaluate run", ("evaluate", "detector", "encoder", "runtime"), (STRIP,))
REFRESH = Scope("refresh run", tuple(Settings.model_fields))
SECTIONS_OF = {"source": "sources"} | dict.fromkeys(METHODS, "trainer")
"""Section of an override -> the section of `Settings` that it becomes part of."""


def load(
    profile: str = "photos",
    overrides: Iterable[str] = (),
    *,
    scope: Scope = REFRESH,
    **values: Any,
) -> Settings:
    """Load a profile and apply changes to it.

    Args:
        profile: Name of a shipped profile, or path of a YAML file.
        overrides: `section.key=value` each; the value is read as YAML.
        scope: The command that asks. Overrides of sections that it does not read are errors.
        values: Nested values by section, applied between the profile and the overrides. None
            keeps the value of the profile.

    Raises:
        ConfigError: unknown profile, unknown key (the nearest is named) or invalid value.

    Example:
        >>> load("sample", ["source.count=60"], train={"method": "sft"}).sources[0].count
        60
    """
    overrides = tuple(overrides)
    for override in overrides:
        section = section_of(override)
        belongs = SECTIONS_OF.get(section, section)
        is_own = belongs in scope.sections or override.partition("=")[0].strip() in scope.keys
        if belongs in Settings.model_fields and not is_own:
            raise ConfigError(
                f"unknown setting {section}: `repic {scope.command}` reads only "
                f"{', '.join((*scope.sections, *scope.keys))}"
            )
    data = layered(profile, values, overrides)
    data["trainer"] = trainer_fields(data)
    for method in METHODS:
        data.pop(method, None)
    settings = validated(Settings, data, scope.hint)
    if "sources" in scope.sections:
        _check_objectives(settings)
    return settings


def _check_objectives(settings: Settings) -> None:
    """Raises: ConfigError: an objective of a plug-in has settings, and no source uses it."""
    used = {name for source in settings.sources for name in source.objectives}
    named = {*settings.examples.given, *(settings.examples.shares or {})}
    if unused := sorted(named - used - set(plugins.OWN["objectives"])):
        raise ConfigError(
            f"examples has settings of {unused[0]}, which no source uses: add it to "
            "source.objectives"
        )


def from_record(data: Mapping[str, Any]) -> Settings:
    """Settings of the manifest of a dataset.

    Raises:
        ConfigError: unknown key or invalid value.
    """
    settings = validated(Settings, as_read(data), BUILD.hint)
    # Records without a level are of versions that knew only the first.
    levels = tuple(source.with_level("folder:1") for source in settings.sources)
    return settings.model_copy(update={"sources": levels})


def as_recorded(settings: Settings) -> Settings:
    """The same settings for any working directory and for photos that are added later.

    Existing relative paths become absolute; URLs and hub names stay as they are. The level of
    folders that are identities is the one in use, and not found again.
    Fingerprints, which hash contents, stay.
    """
    encoder = settings.encoder
    weights = {"pretrained": _absolute_weights(encoder.pretrained)}
    return settings.model_copy(
        update={
            "sources": tuple(map(_recorded_source, settings.sources)),
            "detector": _absolute_detector(settings.detector),
            "encoder": encoder.model_copy(update=weights),
        }
    )


def describe(scope: Scope) -> list[tuple[str, str, str]]:
    """Settings of a command as (key, default, help); `trainer` is left to TRL."""
    own = ("refresh",) if scope is REFRESH else scope.sections
    sections = ((section_of(row[0]), row) for row in described(Settings))
    return [
        row
        for section, row in sections
        if (SECTIONS_OF.get(section, section) in own or row[0] in scope.keys)
        and section != "trainer"
    ]


def _recorded_source(source: SourceSettings) -> SourceSettings:
    changes: dict[str, Any] = {
        name: _absolute(getattr(source, name)) for name in ("path", "images", "refs")
    }
    if source.detector:
        changes["detector"] = _absolute_detector(source.detector)
    return source.with_level("folder:named").model_copy(update=changes)


def _absolute_detector(detector: DetectorSettings) -> DetectorSettings:
    checkpoint = detector.checkpoint
    return detector.model_copy(
        update={
            "checkpoint": checkpoint if checkpoint == "sample" else _absolute(checkpoint),
            "text_encoder": _absolute_weights(detector.text_encoder),
        }
    )


def _absolute(path: str | None) -> str | None:
    if path is None or uris.is_url(path) or not os.path.exists(os.path.expanduser(path)):
        return path
    absolute = os.path.abspath(os.path.expanduser(path))
    if not is_utf8(absolute):
        raise ConfigError(f"the path {absolute} is not UTF-8: rename the file or folder")
    return absolute


def _absolute_weights(weights: str | None) -> str | None:
    """`local-dir:FOLDER`, `FILE`, `TAG:FILE` or `ARCHITECTURE:TAG:FILE` with an absolute path."""
    if weights is None or weights.startswith("hf-hub:"):
        return weights
    if os.path.isfile(os.path.expanduser(weights)):
        return _absolute(weights)
    start, colon, path = weights.rpartition(":")
    return f"{start}{colon}{_absolute(path)}" if colon else weights

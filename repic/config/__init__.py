"""Settings: one typed tree, loaded from YAML profiles with overrides on top.

>>> from repic import config
>>> settings = config.load("sample", ["source.count=60"])
"""

from __future__ import annotations

from repic.config.build import (
    LOCAL,
    SPLITS,
    Band,
    ClipScoreSettings,
    DetectorSettings,
    EncoderSettings,
    ExampleSettings,
    IctSettings,
    JudgeSettings,
    MiningSettings,
    NameSettings,
    Objective,
    OctSettings,
    QuarantineSettings,
    RewardSettings,
    RuntimeSettings,
    SamePhotoSettings,
    SplitSettings,
    VltSettings,
)
from repic.config.evaluate import (
    PROTOCOLS,
    SUITES,
    EvaluateSettings,
    Layout,
    NoBox,
    Protocol,
    SuiteName,
)
from repic.config.paths import cache_folder
from repic.config.profiles import profiles
from repic.config.refresh import MarginSettings, RefreshSettings
from repic.config.section import Section, nearest
from repic.config.settings import (
    BUILD,
    DOCTOR,
    EVALUATE,
    REFRESH,
    TRAIN,
    Scope,
    Settings,
    as_recorded,
    describe,
    from_record,
    load,
)
from repic.config.source_lists import chosen as chosen_sources
from repic.config.sources import SourceSettings
from repic.config.train import (
    Attention,
    DifficultySettings,
    GuardSettings,
    LoraSettings,
    MeasureSettings,
    Method,
    ResizeSettings,
    TrainSettings,
)


def version() -> str:
    """Version of the installed package, for lineage."""
    from importlib import metadata

    return metadata.version("repic")


__all__ = [
    "BUILD",
    "DOCTOR",
    "EVALUATE",
    "LOCAL",
    "PROTOCOLS",
    "REFRESH",
    "SPLITS",
    "SUITES",
    "TRAIN",
    "Attention",
    "Band",
    "ClipScoreSettings",
    "DetectorSettings",
    "DifficultySettings",
    "EncoderSettings",
    "EvaluateSettings",
    "ExampleSettings",
    "GuardSettings",
    "IctSettings",
    "JudgeSettings",
    "Layout",
    "LoraSettings",
    "MarginSettings",
    "MeasureSettings",
    "Method",
    "MiningSettings",
    "NameSettings",
    "NoBox",
    "Objective",
    "OctSettings",
    "Protocol",
    "QuarantineSettings",
    "RefreshSettings",
    "ResizeSettings",
    "RewardSettings",
    "RuntimeSettings",
    "SamePhotoSettings",
    "Scope",
    "Section",
    "Settings",
    "SourceSettings",
    "SplitSettings",
    "SuiteName",
    "TrainSettings",
    "VltSettings",
    "as_recorded",
    "cache_folder",
    "chosen_sources",
    "describe",
    "from_record",
    "load",
    "nearest",
    "profiles",
    "version",
]

"""What a target of exports says of itself, and the options of an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from repic.images.coordinates import QWEN3_VL, Convention

PictureMode = Literal["embed", "copy", "reference"]
"""Bytes in the rows, files beside them, or the paths of the photos where they are."""

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class TargetFacts:
    """What a target is for; each module of a target has one as `FACTS`, for help and docs.

    Attributes:
        program: Who reads it, and what for.
        holds: Table that it is written from: `examples` (prompts and answers), or `images` (photos
            with their boxes).
        pictures: How it can hold pictures; the first is the default.
        keeps: What a reader gets.
        loses: What is in the store and not in it.
        tested: What reads it back in the tests.
        scored: Whether a reward worker scores its rows.
        use: A command or a line of code that uses it; `F` is the folder.
    """

    program: str
    keeps: str
    loses: str
    tested: str
    use: str
    pictures: tuple[PictureMode, ...]
    holds: Literal["examples", "images"] = "examples"
    scored: bool = False


@dataclass(frozen=True)
class ExportOptions:
    """What is exported, and how.

    Attributes:
        convention: How the model that is trained writes boxes.
        splits: Splits to export; all if empty.
        objectives: Objectives to export; all if empty.
        pictures: None: the default of the target.
        keep_exif: Keep the metadata of whole photos, with the place where they were taken.
        uris: Whether rows tell where the photos are; those of files name folders of this machine.
    """

    convention: Convention = QWEN3_VL
    splits: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()
    pictures: PictureMode | None = None
    keep_exif: bool = False
    uris: bool = True

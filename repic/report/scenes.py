"""Objects as the page shows them: the crop, and what is known of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repic.report.pictures import Shot
from repic.report.versions import Version


@dataclass(frozen=True)
class Thing:
    """An object as its crop."""

    shot: Shot
    label: str
    confidence: float
    identity: str | None


@dataclass(frozen=True)
class Frame:
    """A box in percent of the sides of the picture that shows it."""

    left: float
    top: float
    width: float
    height: float
    main: bool = True

    @classmethod
    def of(cls, box: Sequence[float], part: Sequence[float], main: bool = True) -> Frame:
        """Where a box lies in the part of a photo that is shown, both xyxy pixels."""
        across, down = max(1.0, part[2] - part[0]), max(1.0, part[3] - part[1])
        return cls(
            100 * (box[0] - part[0]) / across,
            100 * (box[1] - part[1]) / down,
            100 * (box[2] - box[0]) / across,
            100 * (box[3] - box[1]) / down,
            main,
        )


def things(version: Version, object_ids: Collection[str]) -> Mapping[str, Thing]:
    """Objects by their ids."""
    objects = version.rows("objects", "object_id", object_ids)
    uris = photo_uris(version, {row["image_id"] for row in objects})
    return {
        row["object_id"]: Thing(
            Shot(row["image_id"], uris[row["image_id"]], box_of(row)),
            row["label"],
            row["confidence"],
            row["identity"],
        )
        for row in objects
    }


def photo_uris(version: Version, image_ids: Collection[str]) -> Mapping[str, str]:
    """Where photos are."""
    found = version.rows("images", "image_id", image_ids)
    return {row["image_id"]: row["uri"] for row in found}


def box_of(row: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """The box of a row of the objects table, xyxy pixels."""
    return row["x1"], row["y1"], row["x2"], row["y2"]

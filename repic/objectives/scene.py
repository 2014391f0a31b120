"""The `scene` column: the objects of the query photo, so that a reward needs only the row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from repic.objectives.base import Row
from repic.objectives.neighborhood import Object


def scene_of(objects: Iterable[Object], names: Mapping[str, str]) -> list[Row]:
    """Entries of the `scene` column: the objects of the query photo, in the order of their ids.

    Args:
        names: object_id -> name of the object in this row.
    """
    return [
        {
            "name": names.get(obj.object_id),
            "box": list(obj.box),
            "label": obj.spoken or "",
            "phrases": list(obj.phrases),
        }
        for obj in objects
    ]

"""Names of people whose faces are named: the box of the person gets the name of the face in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from repic.images.coordinates import Box

FACE = "face"
"""Label of an annotated face."""
PERSONS = frozenset({"person", "man", "woman", "boy", "girl", "child", "baby", "human"})
"""Labels of detectors for one person."""
INSIDE = 0.9
"""Least share of a face's area that is inside of the box of its person."""


def names(boxes: Sequence[Mapping], annotations: Sequence[Mapping]) -> dict[str, str]:
    """Names of detected persons by object_id.

    A face gives its name to the smallest person box around it, if no other face, named or not, is
    in that box.

    Args:
        boxes: Detected boxes of a photo.
        annotations: What its source describes, in rows of the column `annotations`.
    """
    faces = [(Box.of(a["box"]), a["identity"]) for a in annotations if a["label"] == FACE]
    if not any(name for _, name in faces):
        return {}
    persons = [(Box.of_row(row), row["object_id"]) for row in boxes if row["label"] in PERSONS]
    found: dict[str, str] = {}
    for face, name in faces:
        around = [p for p in persons if p[0].area > face.area and _contains(p[0], face)]
        if not name or not around:
            continue
        person, object_id = min(around, key=lambda p: (p[0].area, p[1]))
        if sum(_contains(person, other) for other, _ in faces) == 1:
            found[object_id] = name
    return found


def _contains(person: Box, face: Box) -> bool:
    """Whether nearly all of a face is in a box."""
    return face.area > 0 and person.intersection(face) >= INSIDE * face.area

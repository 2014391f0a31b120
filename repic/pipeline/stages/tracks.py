"""Frames of one shot: which show the same object, and what is not known of the others.

A shot goes on while the camera turns to another thing. So the main objects of two frames that
follow each other are one only if their boxes overlap and the detector has a word for both: its
label or a likely noun. Different shots may show one thing, too. So objects of one video are never
known to be different, nor are objects with a common word if one is of a shot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repic.images.coordinates import Box
from repic.images.uris import Location
from repic.mining.pairs import ObjectPairs

SHOT = "shot"
"""`identity_origin` of an object whose identity is a part of a shot."""
SAME_PLACE_IOU = 0.5
"""Minimum IoU of the boxes of one object in two chosen frames that follow each other."""


def main_box(boxes: Sequence[dict]) -> dict:
    """The main object of a photo: the one with the largest confidence x area."""
    return max(boxes, key=lambda row: (row["confidence"] * Box.of_row(row).area, row["object_id"]))


def followed(photos: Iterable[dict], boxes_of: Mapping[str, Sequence[dict]]) -> Iterator[dict]:
    """The photos; frames of a shot have the identity of their main object in it.

    Args:
        photos: Rows of `images`; the identity of a frame is its shot.
        boxes_of: Detected boxes by image_id.
    """
    listed = list(photos)
    named = _identities(filter(_is_of_shot, listed), boxes_of)
    for photo in listed:
        if _is_of_shot(photo):
            photo = {**photo, "identity": named.get(photo["image_id"])}
        yield photo


def doubted(pairs: ObjectPairs, objects: pa.Table, described: pa.Table) -> ObjectPairs:
    """Negative pairs, of which those are doubtful that may show one object in two shots.

    Args:
        objects: Table with the columns `object_id`, `identity`, `identity_origin` and `label`,
            which pairs are indices of.
        described: Table with the columns `object_id` and `nouns`.
    """
    of_shot = pc.fill_null(pc.equal(objects["identity_origin"], SHOT), False).to_numpy()
    if not of_shot.any():
        return pairs
    identities = objects["identity"].to_pylist()
    words = _words_of_identities(objects, described)
    videos = [
        name.partition(f" {SHOT} ")[0] if shot else None
        for name, shot in zip(identities, of_shot.tolist(), strict=True)
    ]
    unknown = [
        (videos[one] is not None and videos[one] == videos[other])
        or bool((videos[one] or videos[other]) and words[one] & words[other])
        for one, other in zip(pairs.anchor.tolist(), pairs.other.tolist(), strict=True)
    ]
    return replace(pairs, doubtful=pairs.doubtful | np.array(unknown, dtype=bool))


def _words_of_identities(objects: pa.Table, described: pa.Table) -> list[set[str]]:
    """What the detector may call each object, in any photo of its identity."""
    nouns = dict(
        zip(described["object_id"].to_pylist(), described["nouns"].to_pylist(), strict=True)
    )
    shared: dict[str, set[str]] = defaultdict(set)
    rows = objects.select(["object_id", "identity", "label"]).to_pylist()
    for row in rows:
        of = shared[row["identity"] or row["object_id"]]
        of |= _words({"label": row["label"], "nouns": nouns.get(row["object_id"])})
    return [shared[row["identity"] or row["object_id"]] for row in rows]


def _words(box: Mapping) -> set[str]:
    return {box["label"], *(noun["text"] for noun in box.get("nouns") or ())}


def _is_of_shot(photo: dict) -> bool:
    if not photo["identity"] or "#" not in photo["uri"]:
        return False
    return Location.parse(photo["uri"]).pts is not None


def _identities(frames: Iterable[dict], boxes_of: Mapping[str, Sequence[dict]]) -> dict[str, str]:
    """Identity of the main object of each frame, by image_id; none for frames without objects."""
    shots: dict[str, list[dict]] = defaultdict(list)
    for frame in frames:
        shots[frame["identity"]].append(frame)
    found: dict[str, str] = {}
    for shot, listed in shots.items():
        before, number = None, 0
        for frame in sorted(listed, key=lambda frame: Location.parse(frame["uri"]).position):
            boxes = boxes_of.get(frame["image_id"])
            main = main_box(boxes) if boxes else None
            if main is not None:
                number += not (before and _is_same(before, main))
                found[frame["image_id"]] = f"{shot} object {number}"
            before = main
    return found


def _is_same(first: dict, second: dict) -> bool:
    overlap = Box.of_row(first).iou(Box.of_row(second))
    return overlap >= SAME_PLACE_IOU and bool(_words(first) & _words(second))

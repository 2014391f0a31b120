"""Boxes and identities of photos as reviewers say.

A decision finds its box by the edges in its `subject_id`: the same edges, or else those of the box
that overlaps most, so that it outlasts a change of the detector. What it then says goes before the
detector: nothing is there, or an object with these edges and this label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from repic.images.coordinates import Box
from repic.pipeline.reviews import SAME_BOX_IOU, Decision, agreed, box_id, parse_box_id
from storage.hashing import fingerprint

REVIEW = "review"
"""Detector of a box that a reviewer drew, and origin of a label or an identity that they said."""


def object_id(image_id: str, box: Box, label: str) -> str:
    """Id of an object: a hash of photo, box and label, which is the detector's.

    Another label by a reviewer leaves the id, and so the pairs and the group, as they were.
    """
    return fingerprint([image_id, box.as_list(), label])


@dataclass(frozen=True)
class BoxReviews:
    """What reviewers agree on.

    Attributes:
        boxes: Photo -> decisions on its boxes; `identities` likewise.
        disputed: Boxes and identities on which they differ, which stay as they are.
    """

    boxes: Mapping[str, Sequence[Decision]]
    identities: Mapping[str, Sequence[Decision]]
    disputed: int

    @classmethod
    def of(cls, reviews: pa.Table) -> BoxReviews:
        """Args: reviews: Rows of the reviews table."""
        found: dict[str, dict[str, list[Decision]]] = {}
        disputed = 0
        for subject in ("box", "identity"):
            by_id: dict[str, list[Decision]] = defaultdict(list)
            for row in reviews.filter(pc.equal(reviews["subject"], subject)).to_pylist():
                by_id[row["subject_id"]].append(row)
            found[subject] = defaultdict(list)
            for id_, decided in sorted(by_id.items()):
                if said := agreed(decided):
                    found[subject][parse_box_id(id_)[0]].append(said)
                disputed += not said and any(d["decision"] != "unsure" for d in decided)
        return cls(found["box"], found["identity"], disputed)

    def boxes_of(self, photo: Mapping, detected: Sequence[dict]) -> tuple[list[dict], Counter[str]]:
        """Boxes of a photo after the decisions on them.

        Args:
            photo: Row of the images table.
            detected: Rows of the detections table.

        Returns:
            Rows with `reviewed_box` and `label_origin` in addition, and how many were deleted,
            changed and drawn.
        """
        decided = self.boxes.get(photo["image_id"], ())
        rows = [{**row, "reviewed_box": None, "label_origin": None} for row in detected]
        addresses = [parse_box_id(said["subject_id"])[1] for said in decided]
        meant = matches(addresses, [Box.of_row(row) for row in rows])
        counts: Counter[str] = Counter()
        gone = {place for places in meant for place in places}
        made: list[dict] = []
        for said, address, places in zip(decided, addresses, meant, strict=True):
            if said["decision"] == "reject":
                counts["deleted"] += bool(places)
                continue
            before = max((rows[p] for p in places), key=lambda r: r["confidence"], default=None)
            row = _said(photo, said, address, before)
            if before is None and any(_is_same(row, other) for other in made):
                continue  # two reviewers drew it
            counts["drawn" if before is None else "changed"] += 1
            made.append(row)
        kept = [row for place, row in enumerate(rows) if place not in gone]
        by_id = {row["object_id"]: row for row in (*kept, *made)}
        return list(by_id.values()), counts

    def named(self, photo: Mapping, objects: Sequence[dict]) -> int:
        """Put identities into the objects of a photo; returns how many.

        Args:
            objects: Rows of the objects table, which are changed.
        """
        decided = self.identities.get(photo["image_id"], ())
        addresses = [parse_box_id(said["subject_id"])[1] for said in decided]
        meant = matches(addresses, [reviewed_box(row) for row in objects])
        for said, places in zip(decided, meant, strict=True):
            for place in places:
                objects[place] |= {"identity": said["identity"], "identity_origin": REVIEW}
        return sum(map(bool, meant))


def reviewed_box(row: Mapping) -> Box:
    """The box by which decisions name an object: as it was detected or first drawn."""
    first = row["reviewed_box"]
    return Box.of(first) if first is not None else Box.of_row(row)


def subject_id(row: Mapping) -> str:
    """The `subject_id` of decisions on an object."""
    return box_id(row["image_id"], reviewed_box(row))


def matches(addresses: Sequence[Box], boxes: Sequence[Box]) -> list[list[int]]:
    """Places of the boxes that each address means; a box is meant once at most.

    All boxes with the edges of the address; where there is none, the one that overlaps most.
    """
    of_edges: dict[str, list[int]] = defaultdict(list)
    for place, box in enumerate(boxes):
        of_edges[box_id("", box)].append(place)
    found = [of_edges.pop(box_id("", address), []) for address in addresses]
    free = [place for places in of_edges.values() for place in places]
    overlaps = sorted(
        (-address.iou(boxes[place]), number, place)
        for number, address in enumerate(addresses)
        if not found[number]
        for place in free
    )
    used: set[int] = set()
    for negative, number, place in overlaps:
        if -negative >= SAME_BOX_IOU and not found[number] and place not in used:
            found[number].append(place)
            used.add(place)
    return found


def _said(photo: Mapping, said: Decision, address: Box, before: Mapping | None) -> dict:
    """The row of a box that reviewers accept, instead of that of the detector, if there is one."""
    image_id = photo["image_id"]
    box = Box.of(said["box"]).clip(photo["width"], photo["height"]).round(2)
    row = {**(before or _drawn(image_id))}
    id_ = object_id(image_id, box, row["label"])
    if said["label"] is not None:
        row["label_origin"] = REVIEW
        if said["label"] != row["label"]:  # what is known of the other thing is not true of this
            row |= {"label": said["label"], "confidence": 1.0, "nouns": [], "expressions": []}
    return row | {
        "object_id": id_,
        "reviewed_box": address.as_list(),
        **dict(zip(("x1", "y1", "x2", "y2"), box.as_list(), strict=True)),
    }


def _drawn(image_id: str) -> dict:
    return {
        "image_id": image_id,
        "label": "",
        "confidence": 1.0,
        "detector": REVIEW,
        "vocabulary": "",
        "truncated": None,
        "occluded": None,
        "expressions": [],
        "nouns": [],
        "identity": None,
        "reviewed_box": None,
        "label_origin": None,
    }


def _is_same(one: Mapping, other: Mapping) -> bool:
    overlap = Box.of_row(one).iou(Box.of_row(other))
    return one["label"] == other["label"] and overlap >= SAME_BOX_IOU

"""Boxes of a photo as decisions leave them, and the form that decides on one.

A page shows the boxes of a version with what has been decided since, so that it is right before
the next build as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repic.errors import SchemaError
from repic.images.coordinates import Box
from repic.pipeline.reviews import Decision, agreed, box_id, checked_box, parse_box, parse_box_id
from repic.pipeline.stages.reviewed import matches, reviewed_box
from repic.studio.decisions import ByReviewer, Change
from repic.studio.site import PageNotFoundError

EDGES = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class ShownBox:
    """A box of a photo.

    Attributes:
        subject_id: Of decisions on it.
        thing: Its row of `VersionTables.objects`; None if the version lacks it.
        box: Its edges as who looks has decided, or as all have, or as the version has them.
        label: What it is called, by the same rule.
        is_deleted: Whether it is deleted, by the same rule.
        own: Decision of who looks.
        said: Reviewer -> decision in words.
        is_disputed: Whether reviewers differ, so that none of them counts.
        is_pending: Whether the next build will change it.
    """

    subject_id: str
    thing: Mapping[str, Any] | None
    box: Box
    label: str
    is_deleted: bool
    own: Decision | None
    said: Mapping[str, str]
    is_disputed: bool
    is_pending: bool

    @property
    def address(self) -> str:
        """Its edges as decisions name them: `x1,y1,x2,y2`."""
        return self.subject_id.rpartition(":")[2]

    @property
    def edges(self) -> dict[str, str]:
        """Edges in pixels as text with at most two decimals, by name."""
        values = zip(EDGES, self.box.as_list(), strict=True)
        return {name: f"{value:.2f}".rstrip("0").rstrip(".") for name, value in values}


def shown_boxes(
    image_id: str,
    things: Sequence[Mapping[str, Any]],
    decided: Mapping[str, ByReviewer],
    who: str,
) -> list[ShownBox]:
    """Boxes of a photo, those of the version first.

    Args:
        things: Rows of `VersionTables.objects` of this photo.
        decided: Decisions on boxes of this photo.
        who: The reviewer who looks.
    """
    ids = sorted(decided)
    meant = matches([parse_box_id(id_)[1] for id_ in ids], [reviewed_box(t) for t in things])
    of_thing = {place: id_ for id_, places in zip(ids, meant, strict=True) for place in places}
    boxes = [
        _shown(of_thing.get(place) or box_id(image_id, reviewed_box(thing)), thing, decided, who)
        for place, thing in enumerate(things)
    ]
    alone = [id_ for id_, places in zip(ids, meant, strict=True) if not places]
    return boxes + [_shown(id_, None, decided, who) for id_ in alone]


def _shown(
    subject_id: str, thing: Mapping[str, Any] | None, decided: Mapping[str, ByReviewer], who: str
) -> ShownBox:
    rows = decided.get(subject_id, {})
    together = agreed(rows.values())
    sure = any(row["decision"] != "unsure" for row in rows.values())
    own = rows.get(who)
    address = parse_box_id(subject_id)[1]
    shown = own if own and own["decision"] != "unsure" else together
    if shown is None and thing is None:  # others differ on one that the version lacks
        shown = next((row for row in rows.values() if row["box"]), None)
    box = Box.of_row(thing) if thing else address
    label = (thing["called"] or thing["label"]) if thing else ""
    if shown and shown["box"]:
        box = Box.of(shown["box"])
        label = shown["label"] if shown["label"] is not None else label
    is_disputed = sure and together is None
    return ShownBox(
        subject_id=subject_id,
        thing=thing,
        box=box,
        label=label or "",
        is_deleted=shown is not None and shown["decision"] == "reject",
        own=own,
        said={name: in_words(row, address, thing) for name, row in sorted(rows.items())},
        is_disputed=is_disputed,
        is_pending=not is_disputed and _is_pending(together, thing),
    )


def in_words(row: Decision, address: Box, thing: Mapping[str, Any] | None) -> str:
    """What a reviewer says of a box."""
    if row["decision"] != "accept":
        return {"reject": "nothing here", "unsure": "unsure"}[row["decision"]]
    is_found = thing is not None and thing["detector"] != "review"
    moved = box_id("", Box.of(row["box"])) != box_id("", address)
    words = ["moved" if moved else "right" if is_found else "drawn"]
    if row["label"] is not None:
        words.append(f"is “{row['label']}”" if row["label"] else "has no label")
    return ", ".join(words)


def _is_pending(together: Decision | None, thing: Mapping[str, Any] | None) -> bool:
    """Whether the version lacks what reviewers say together."""
    if together is None:
        return thing is not None and thing["reviewed_box"] is not None
    if together["decision"] == "reject" or thing is None:
        return (thing is None) == (together["decision"] == "accept")
    label = together["label"]
    is_there = box_id("", Box.of(together["box"])) == box_id("", Box.of_row(thing))
    is_called = label is None or (label == thing["label"] and thing["label_origin"] is not None)
    return not (is_there and is_called and thing["reviewed_box"] is not None)


def change_of(
    photo: Mapping[str, Any], boxes: Sequence[ShownBox], given: Mapping[str, str], who: str
) -> Change:
    """The decision of a form.

    Args:
        photo: Row of `VersionTables.photos`.
        boxes: What the page shows of the photo.
        given: `action` (save, delete or withdraw) or `agree` (with whom); `address` of the box,
            empty for a new one; edges `x1` ... `y2` and `label` to save.

    Raises:
        SchemaError: the numbers are no box of the photo.
        PageNotFoundError: there is no such box, or nothing like this can be done.
    """
    address, action = given.get("address", ""), given.get("action", "")
    subject_id = box_id(photo["image_id"], parse_box(address)) if address else ""
    shown = next((box for box in boxes if box.subject_id == subject_id), None)
    if address and shown is None:
        raise PageNotFoundError("This box is gone: load the page again.")
    if shown and action == "withdraw":
        return _change(subject_id, who)
    if shown and action == "delete":
        is_mine = shown.thing is None and set(shown.said) <= {who}
        return _change(subject_id, who, "" if is_mine else "reject")
    if action == "save":
        box = _given_box(photo, given)
        label = " ".join(given.get("label", "").split())
        said = None if shown and label == _unsaid(shown) else label
        own = subject_id or box_id(photo["image_id"], box)
        return _change(own, who, "accept", box=box.as_list(), label=said)
    raise PageNotFoundError("A box can be saved, deleted, or left as it was.")


def agreement(decided: Mapping[str, ByReviewer], subject_id: str, other: str, who: str) -> Change:
    """The decision of another reviewer as one's own. Raises: PageNotFoundError: there is none."""
    row = decided.get(subject_id, {}).get(other)
    if row is None:
        raise PageNotFoundError("That decision is gone: load the page again.")
    return {**row, "reviewer": who, "note": None}


def _change(subject_id: str, who: str, decision: str = "", **said: Any) -> Change:
    change = {"subject": "box", "subject_id": subject_id, "decision": decision, "reviewer": who}
    return change | {"note": None, "box": None, "label": None, "identity": None} | said


def _given_box(photo: Mapping[str, Any], given: Mapping[str, str]) -> Box:
    box = checked_box(parse_box(",".join(given.get(edge, "") for edge in EDGES)))
    width, height = photo["width"], photo["height"]
    if box.x2 > width or box.y2 > height:
        raise SchemaError(f"The box ends outside of the photo of {width} by {height} pixels.")
    return box


def _unsaid(shown: ShownBox) -> str | None:
    """The label that nobody but the detector or owner says; None if a reviewer does."""
    thing = shown.thing
    if thing is None or thing["label_origin"] is not None:
        return None
    return thing["called"] or thing["label"]

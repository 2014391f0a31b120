"""Reviews: decisions of reviewers on pairs, boxes and identities.

Each reviewer has one decision per subject, so that none takes away another's. A build applies what
they agree on (`settled`, `agreed`). `reviews_csv` exchanges them as CSV.

A box has no lasting id, because that of an object depends on its edges and label. So a decision
names it by its photo and by its edges as they were detected or first drawn (`box_id`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from repic.errors import SchemaError
from repic.images.coordinates import Box
from repic.tables import TABLES
from storage.errors import MovedError, NotFoundError
from storage.hashing import content_hash
from storage.manifest import ArtifactRef, Manifest, Origin
from storage.store import Store

COLUMNS = [column.name for column in TABLES["reviews"].columns]
TEXTS = [name for name in COLUMNS if name != "box"]
SUBJECTS, DECISIONS = ("pair", "object", "box", "identity"), ("accept", "reject", "unsure")
DISPUTED = "disputed"
"""What `settled` says of a subject on which reviewers differ."""

SAME_BOX_IOU = 0.75
"""Least IoU of two boxes that mean the same: drawn twice by hand, or found by two detectors."""

LEAST_SIDE = 1.0
"""Pixels of the shorter side of a box that a reviewer draws."""

LARGEST = 1e6
"""Pixels that no side of a photo has."""

LONGEST = 200
"""Characters of a label or an identity."""

Decision = dict[str, Any]
"""A row of the table."""

Key = tuple[str, str, str]
"""Subject, subject_id and reviewer."""


@dataclass(frozen=True)
class Decided:
    """All decisions of a version of the table, by key; no version: nobody has decided yet."""

    version: int | None = None
    rows: Mapping[Key, Decision] = field(default_factory=lambda: MappingProxyType({}))


def settled(reviews: pa.Table, subject: str) -> pa.Table:
    """What reviewers say of each pair or object: `subject_id` and `decision`.

    Unsure ones do not count. Where the others differ, the decision is `disputed`.

    Args:
        reviews: Rows of the reviews table.
        subject: pair or object.
    """
    sure = pc.and_(
        pc.equal(reviews["subject"], subject), pc.not_equal(reviews["decision"], "unsure")
    )
    rows = reviews.filter(sure).group_by("subject_id", use_threads=False)
    found = rows.aggregate([("decision", "min"), ("decision", "max")])
    agreed = pc.equal(found["decision_min"], found["decision_max"])
    decision = pc.if_else(agreed, found["decision_min"], DISPUTED)
    return pa.table({"subject_id": found["subject_id"], "decision": decision})


def agreed(decided: Iterable[Decision]) -> Decision | None:
    """What reviewers say of one box or identity together; None if they differ or nobody is sure.

    Boxes that mean the same (`SAME_BOX_IOU`) agree: the mean of their edges counts. A reviewer
    who gives no label agrees with any.
    """
    sure = sorted((d for d in decided if d["decision"] != "unsure"), key=lambda d: d["reviewer"])
    if not sure or not all(_agree(one, other) for one, other in combinations(sure, 2)):
        return None
    label = next((d["label"] for d in sure if d.get("label") is not None), None)
    boxes = [d["box"] for d in sure if d.get("box") is not None]
    mean = [math.fsum(edge) / len(boxes) for edge in zip(*boxes, strict=True)] if boxes else None
    return {**sure[0], "label": label, "box": mean}


def _agree(one: Decision, other: Decision) -> bool:
    if one["decision"] != other["decision"] or one.get("identity") != other.get("identity"):
        return False
    labels = {d["label"] for d in (one, other) if d.get("label") is not None}
    boxes = [Box.of(d["box"]) for d in (one, other) if d.get("box") is not None]
    return len(labels) < 2 and (len(boxes) < 2 or boxes[0].iou(boxes[1]) >= SAME_BOX_IOU)


def either_order(pairs: pa.Table) -> set[frozenset[str]]:
    """The two objects of each pair, once if they are paired in both orders."""
    ends = zip(pairs["anchor_id"].to_pylist(), pairs["other_id"].to_pylist(), strict=True)
    return set(map(frozenset, ends))


def box_id(image_id: str, box: Box) -> str:
    """The `subject_id` of a box: its photo, and its edges in pixels to two decimals."""
    return f"{image_id}:{','.join(f'{edge:.2f}' for edge in box.as_list())}"


def parse_box_id(text: str) -> tuple[str, Box]:
    """Photo and box of a `subject_id`.

    Raises:
        SchemaError: it is not one.
    """
    image_id, colon, edges = text.rpartition(":")
    box = parse_box(edges)
    if not colon or not image_id or box_id(image_id, box) != text:
        raise SchemaError(f"{text!r} is no box of a photo: write image_id:x1,y1,x2,y2")
    return image_id, box


def photo_of(decision: Mapping[str, Any]) -> str | None:
    """The photo of a decision on a box or an identity; None for others."""
    if decision["subject"] not in ("box", "identity"):
        return None
    return parse_box_id(decision["subject_id"])[0]


def parse_box(text: str) -> Box:
    """The box of `x1,y1,x2,y2`, with two decimals.

    Raises:
        SchemaError: these are not four numbers.
    """
    try:
        box = Box.of([float(edge) for edge in text.split(",")]).round(2)
    except (ValueError, OverflowError):
        box = None
    if box is None or not all(map(math.isfinite, box.as_list())):
        raise SchemaError(f"{text!r} is no box: write four numbers as x1,y1,x2,y2")
    return box


def checked_box(box: Box) -> Box:
    """The box that a reviewer gives.

    Raises:
        SchemaError: it is inverted, too small, or not in any photo.
    """
    is_inside = all(0 <= edge < LARGEST for edge in box.as_list())  # false for NaN, too
    if not is_inside or min(box.x2 - box.x1, box.y2 - box.y1) < LEAST_SIDE:
        said = ", ".join(f"{edge:g}" for edge in box.as_list())
        raise SchemaError(
            f"{said} is no box: x1 is left of x2 and y1 above y2 by a pixel or more, from 0 on"
        )
    return box


def current(store: Store, known: Decided | None = None) -> Decided:
    """The latest decisions; `known` if nobody has decided since."""
    latest = store.current().of("reviews").latest
    if known and known.version == latest:
        return known
    rows = store.read(ArtifactRef.exact("reviews", latest)).to_pylist() if latest else []
    return Decided(latest, {key_of(row): row for row in rows})


def add(
    store: Store, decisions: Iterable[Mapping[str, Any]], known: Decided | None = None
) -> tuple[Manifest, Decided]:
    """Add decisions to the latest ones; one without a `decision` withdraws the reviewer's own.

    Other processes may decide at the same time: the decisions of all of them are kept.

    Args:
        decisions: The columns of the table; of several of a reviewer on a subject, the last counts.
        known: Decisions read before, so that an unchanged version is not read again.

    Returns:
        The version of the table, and all decisions in it.

    Raises:
        SchemaError: a value is invalid; nothing is published.
        storage.errors.StoreError: the store cannot be read or written.
    """
    changes = [
        (key_of(row), checked(row, f"the decision on {row['subject_id']}"))
        if row["decision"]
        else (key_of(row), None)
        for row in decisions
    ]
    while True:
        snapshot = store.current()
        known = current(store, known)
        rows = dict(known.rows)
        for key, row in changes:
            if row:
                rows[key] = row
            else:
                rows.pop(key, None)
        manifest = _publish(store, list(rows.values()))
        try:
            store.commit({"reviews": manifest.version}, since=snapshot)
        except MovedError:
            continue  # somebody else decided meanwhile
        return manifest, Decided(manifest.version, rows)


def record(store: Store, decisions: Iterable[Mapping[str, Any]]) -> Manifest:
    """As `add`; returns the version of the table."""
    return add(store, decisions)[0]


def key_of(row: Mapping[str, Any]) -> Key:
    """Key of a row of the table."""
    return row["subject"], row["subject_id"], row["reviewer"]


def _publish(store: Store, rows: list[Decision]) -> Manifest:
    table = TABLES["reviews"].table(rows)
    origin = Origin(fingerprint=content_hash(table))
    return store.publish("reviews", table, origin, key=TABLES["reviews"].key)


def decisions(store: Store) -> list[Decision]:
    """The latest decisions of all reviewers; empty if there are none."""
    try:
        return store.read("reviews@latest").to_pylist()
    except NotFoundError:
        return []


def checked(row: Mapping[str, Any], where: str) -> Decision:
    """A decision as it is stored.

    Args:
        row: Columns of the table; an absent one is null.
        where: What an error calls it.

    Raises:
        SchemaError: a value is invalid.
    """
    clean: Decision = {column: (row.get(column) or "").strip() for column in TEXTS}
    if clean["subject"] not in SUBJECTS or clean["decision"] not in DECISIONS:
        raise SchemaError(
            f"{where}: subject is {', '.join(SUBJECTS)} and decision {', '.join(DECISIONS)}"
        )
    if not clean["subject_id"] or not clean["reviewer"]:
        raise SchemaError(f"{where}: a decision needs a subject_id and a reviewer")
    said = row.get("label") is not None and clean["subject"] == "box"
    clean |= {"note": clean["note"] or None, "label": clean["label"] if said else None}
    clean |= {"identity": clean["identity"] or None, "box": None}
    if clean["subject"] in ("box", "identity"):
        try:
            parse_box_id(clean["subject_id"])
            _check_box(clean, row.get("box"))
        except SchemaError as error:
            raise SchemaError(f"{where}: {error}") from error
    return clean


def _check_box(clean: Decision, box: Any) -> None:
    """Check what only decisions on boxes and identities have; the box is put in."""
    for text in (clean["label"], clean["identity"]):
        if text and (len(text) > LONGEST or not text.isprintable()):
            raise SchemaError(f"a label or identity is one line of at most {LONGEST} characters")
    accepts = clean["decision"] == "accept"
    if clean["subject"] == "identity":
        if clean["decision"] == "reject" or accepts != bool(clean["identity"]):
            raise SchemaError("write accept and the identity")
    elif accepts:
        if box is None:
            raise SchemaError("accept needs a box; reject says that there is no object")
        clean["box"] = checked_box(Box.of(box).round(2)).as_list()

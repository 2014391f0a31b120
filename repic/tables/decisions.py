"""Tables of what people decided, which builds read and never write."""

from __future__ import annotations

from repic.tables.schema import BOX, TEXT, Column, Table

REVIEWS = Table(
    "reviews",
    "Decisions of reviewers on pairs, boxes and identities, which builds apply where reviewers "
    "agree.",
    ("subject", "subject_id", "reviewer"),
    (
        Column("subject", TEXT, "pair, object, box or identity."),
        Column(
            "subject_id",
            TEXT,
            "pair_id or object_id; box, identity: image_id:x1,y1,x2,y2 of the box as it was "
            "detected or first drawn.",
        ),
        Column("decision", TEXT, "accept, reject or unsure, which decides nothing."),
        Column("reviewer", TEXT, "Name of the reviewer."),
        Column("note", TEXT, "Reason for the decision.", nullable=True),
        Column(
            "box",
            BOX,
            "box, accept: where the object is, xyxy pixels of the upright original.",
            nullable=True,
        ),
        Column(
            "label",
            TEXT,
            "box, accept: what the object is; null if the reviewer does not say.",
            nullable=True,
        ),
        Column("identity", TEXT, "identity, accept: who or what the object is.", nullable=True),
    ),
)

FORGOTTEN = Table(
    "forgotten",
    "What builds leave out for good, as hashes that name nobody; `repic forget` adds rows.",
    ("kind", "hash"),
    (
        Column("kind", TEXT, "What is forgotten: file, uri, identity, or name (its words)."),
        Column("hash", TEXT, "SHA-256 of the id of the file, or of the text, in hex."),
        Column("forgotten_at", TEXT, "When, in UTC (ISO 8601)."),
        Column("reason", TEXT, "Why, if somebody said so.", nullable=True),
    ),
)

OF_PEOPLE = (REVIEWS, FORGOTTEN)

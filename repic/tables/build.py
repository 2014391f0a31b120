"""Tables of a build."""

from __future__ import annotations

import pyarrow as pa

from repic.tables.schema import (
    BLOCK,
    BOX,
    FLAG,
    FLOAT,
    INT,
    LONG,
    PICTURE,
    SCENE,
    TEXT,
    Column,
    Table,
    struct,
)

ANNOTATION = pa.struct(
    [
        pa.field("box", BOX, nullable=False),
        pa.field("label", TEXT, nullable=False),
        pa.field("identity", TEXT),
        pa.field("expressions", pa.list_(TEXT), nullable=False),
        pa.field("truncated", FLAG),
        pa.field("occluded", FLAG),
    ]
)
REFERENCE = struct(name=TEXT, info=TEXT, present=FLAG, object_id=TEXT, locale=TEXT)

PROBES = Table(
    "probes",
    "What the bytes of one photo say, whatever it is called and wherever it is.",
    ("image_id",),
    (
        Column("image_id", TEXT, "Hash of the photo's bytes (and region, if the URI names one)."),
        Column("width", INT, "Pixels, upright (EXIF orientation applied)."),
        Column("height", INT, "Pixels, upright (EXIF orientation applied)."),
        Column("format", TEXT, "File format as Pillow names it, for example JPEG."),
        Column("orientation", INT, "EXIF orientation that was applied, 1 to 8."),
        Column("phash", TEXT, "64-bit perceptual hash, hex."),
    ),
)

IMAGES = Table(
    "images",
    "One row per distinct photo that could be read.",
    ("image_id",),
    (
        Column("image_id", TEXT, "Hash of the photo's bytes (and region, if the URI names one)."),
        Column("uri", TEXT, "Where the photo is; the first in sort order if it is in many places."),
        Column("also_at", pa.list_(TEXT), "Other URIs that hold the very same bytes."),
        Column("sha256", TEXT, "SHA-256 of the file's bytes, hex."),
        Column("width", INT, "Pixels, upright (EXIF orientation applied)."),
        Column("height", INT, "Pixels, upright (EXIF orientation applied)."),
        Column("format", TEXT, "File format as Pillow names it, for example JPEG."),
        Column("orientation", INT, "EXIF orientation that was applied, 1 to 8."),
        Column("phash", TEXT, "64-bit perceptual hash, hex."),
        Column("near_duplicate_group", TEXT, "Smallest image_id among its near-duplicates."),
        Column("source", TEXT, "Which source the photo came from."),
        Column("licence", TEXT, "Licence, when the source says so.", nullable=True),
        Column("identity", TEXT, "Whom or what the source says the photo shows.", nullable=True),
        Column("caption", TEXT, "A true caption, when the source has one.", nullable=True),
        Column("annotations", pa.list_(ANNOTATION), "Objects that the source itself describes."),
    ),
)

DETECTIONS = Table(
    "detections",
    "Boxes as the detector drew them, before identities and reviews.",
    ("object_id",),
    (
        Column("object_id", TEXT, "Hash of photo, box and label."),
        Column("image_id", TEXT, "The photo."),
        Column("x1", FLOAT, "Left edge, pixels of the upright original."),
        Column("y1", FLOAT, "Top edge, pixels."),
        Column("x2", FLOAT, "Right edge, pixels, exclusive."),
        Column("y2", FLOAT, "Bottom edge, pixels, exclusive."),
        Column("label", TEXT, "Category, one of the detector's vocabulary."),
        Column("confidence", FLOAT, "Of the detector, 0 to 1."),
        Column("detector", TEXT, "Fingerprint of the detector, its weights and its runtime."),
        Column("vocabulary", TEXT, "Hash of the vocabulary that the detector was given."),
        Column("truncated", FLAG, "Whether the frame cuts it, when known.", nullable=True),
        Column("occluded", FLAG, "Whether something hides a part, when known.", nullable=True),
        Column("expressions", pa.list_(TEXT), "Referring expressions that the source gives."),
        Column("identity", TEXT, "Identity that came with the box, if any.", nullable=True),
    ),
)

OBJECTS = Table(
    "objects",
    "One row per box found in a photo.",
    ("object_id",),
    (
        Column("object_id", TEXT, "Hash of photo, box and label."),
        Column("image_id", TEXT, "The photo."),
        Column("x1", FLOAT, "Left edge, pixels of the upright original."),
        Column("y1", FLOAT, "Top edge, pixels."),
        Column("x2", FLOAT, "Right edge, pixels, exclusive."),
        Column("y2", FLOAT, "Bottom edge, pixels, exclusive."),
        Column("label", TEXT, "Category, one of the detector's vocabulary."),
        Column("confidence", FLOAT, "Of the detector, 0 to 1."),
        Column("detector", TEXT, "Fingerprint of the detector, its weights and its runtime."),
        Column("vocabulary", TEXT, "Hash of the vocabulary that the detector was given."),
        Column("area_share", FLOAT, "Area of the box over area of the photo, 0 to 1."),
        Column("same_label_count", INT, "Objects of this label in the photo, this one included."),
        Column(
            "main", FLAG, "Whether it is the photo's main object (largest by confidence x area)."
        ),
        Column("truncated", FLAG, "Whether the frame cuts it, when known.", nullable=True),
        Column("occluded", FLAG, "Whether something hides a part, when known.", nullable=True),
        Column("expressions", pa.list_(TEXT), "Referring expressions that the source gives."),
        Column("identity", TEXT, "Which object this is, when labelled.", nullable=True),
        Column("identity_origin", TEXT, "folder or annotation.", nullable=True),
    ),
)

EMBEDDINGS = Table(
    "embeddings",
    "One vector per object and encoder.",
    ("object_id", "encoder"),
    (
        Column("object_id", TEXT, "The object."),
        Column("image_id", TEXT, "Its photo."),
        Column("encoder", TEXT, "Fingerprint of the encoder, its weights and its runtime."),
        Column("view", TEXT, "What was encoded: crop or photo."),
        Column("vector", pa.list_(pa.float16()), "Unit length, fixed size."),
    ),
)

GROUPS = Table(
    "groups",
    "Which objects are one and the same, labelled or mined, and the split of their photo.",
    ("object_id",),
    (
        Column("object_id", TEXT, "The object."),
        Column("image_id", TEXT, "Its photo."),
        Column("group", TEXT, "Identity, or smallest object_id of the mined group."),
        Column("origin", TEXT, "label or mined."),
        Column("split", TEXT, "Of its photo; null if the photo mixes splits.", nullable=True),
    ),
)

PAIRS = Table(
    "pairs",
    "Two objects in two different photos that are the same object, or are not.",
    ("pair_id",),
    (
        Column("pair_id", TEXT, "Hash of the two objects, in order."),
        Column("kind", TEXT, "positive (same object) or negative."),
        Column("origin", TEXT, "label (identities say so) or mined (similarity says so)."),
        Column(
            "band",
            TEXT,
            "easy, medium or hard; a hard positive looks unlike, a hard negative alike.",
        ),
        Column("anchor_id", TEXT, "Object shown as the reference."),
        Column("other_id", TEXT, "Object in the query photo."),
        Column("anchor_image_id", TEXT, "Photo of the anchor."),
        Column("other_image_id", TEXT, "Photo of the other."),
        Column("similarity", FLOAT, "Cosine, rounded to four decimals."),
        Column("percentile", FLOAT, "Rank of similarity among all cross-photo pairs, 0 to 100."),
        Column("margin", FLOAT, "Similarity above the local background of the two objects."),
        Column("same_label", FLAG, "Whether the two have the same category."),
        Column("split", TEXT, "train, validation or test; a pair never crosses."),
        Column("doubtful", FLAG, "Label and similarity disagree; not used until reviewed."),
        Column("review", TEXT, "A person's decision: accept or reject.", nullable=True),
    ),
)

EXAMPLES = Table(
    "examples",
    "One row per training example, everything drawn but the model's own way to write a box.",
    ("example_id",),
    (
        Column("example_id", TEXT, "Hash of the objective, template, pictures and answer."),
        Column("objective", TEXT, "oct, vlt or ict."),
        Column(
            "kind",
            TEXT,
            "oct: positive, negative; vlt: label, expression; "
            "ict: single, multi, absent, mixed, which.",
        ),
        Column("split", TEXT, "train, validation or test."),
        Column("template_id", TEXT, "Which prompt sentence was drawn, for example oct-07."),
        Column(
            "prompt", pa.list_(BLOCK), "Text and image blocks in order; an image has empty text."
        ),
        Column(
            "images",
            pa.list_(PICTURE),
            "One per image block, in order; the last is the query. "
            "crop is the part to show, the whole frame if uncropped.",
        ),
        Column(
            "answer",
            TEXT,
            "oct: yes or no; vlt: {box}, to be rendered for the model from box; "
            "ict: names in <>, joined by a comma, empty if none is present; "
            "which: the one name in <>, or none.",
        ),
        Column(
            "box",
            BOX,
            "vlt: the answer; which: what is asked about, written in place of {box} in the prompt; "
            "xyxy pixels of the query photo.",
            nullable=True,
        ),
        Column("caption", TEXT, "ict: a true caption with the names, when known.", nullable=True),
        Column(
            "references",
            pa.list_(REFERENCE),
            "oct, ict: the named objects, whether present, and the anchor object of each.",
        ),
        Column(
            "scene",
            pa.list_(SCENE),
            "ict: objects of the query photo: the name each has here (or null), box, label, and "
            "phrases that point to it alone.",
        ),
        Column(
            "distinctive_words",
            pa.list_(TEXT),
            "ict: words that are true of the query photo and of few others; empty if the source "
            "does not give both a caption and expressions.",
        ),
        Column(
            "distractor_words",
            pa.list_(TEXT),
            "ict: words that describe other photos and nothing known in this one; empty if "
            "distinctive_words is.",
        ),
        Column("pair_ids", pa.list_(TEXT), "Pairs that it was made from."),
        Column("band", TEXT, "Band of its hardest pair.", nullable=True),
        Column("similarity", FLOAT, "Similarity of its hardest pair.", nullable=True),
        Column("seed", LONG, "Seed of all that was drawn for it."),
        Column(
            "draft",
            TEXT,
            "Hash of all that it was made from; a build keeps the row while that is the same.",
        ),
    ),
)

QUARANTINE = Table(
    "quarantine",
    "One row per input that could not be used, with the reason. Nothing is dropped in silence.",
    ("uri", "stage"),
    (
        Column("uri", TEXT, "Where the input is."),
        Column("image_id", TEXT, "Its id, when its bytes could be read.", nullable=True),
        Column("stage", TEXT, "The stage that refused it."),
        Column("error", TEXT, "Class of the error, for example truncated."),
        Column("message", TEXT, "What was wrong, for a person."),
    ),
)

REVIEWS = Table(
    "reviews",
    "A person's decisions on pairs and boxes; the build honours them.",
    ("subject", "subject_id"),
    (
        Column("subject", TEXT, "pair or object."),
        Column("subject_id", TEXT, "pair_id or object_id."),
        Column("decision", TEXT, "accept or reject."),
        Column("reviewer", TEXT, "Who decided."),
        Column("note", TEXT, "Why.", nullable=True),
    ),
)

OF_BUILD = (
    PROBES,
    IMAGES,
    DETECTIONS,
    OBJECTS,
    EMBEDDINGS,
    GROUPS,
    PAIRS,
    EXAMPLES,
    QUARANTINE,
    REVIEWS,
)

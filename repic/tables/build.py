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
NOUN = struct(text=TEXT, probability=FLOAT, broad=FLAG)
SHOWN = pa.struct(
    [
        *PICTURE,
        pa.field(
            "augmentation",
            struct(mirrored=FLAG, scale=INT, brightness=INT, contrast=INT, saturation=INT),
        ),
    ]
)
REFERENCE = struct(name=TEXT, info=TEXT, present=FLAG, object_id=TEXT, locale=TEXT)

_FILE_FACTS = (
    Column("width", INT, "Pixels of the upright photo (EXIF orientation applied)."),
    Column("height", INT, "Pixels of the upright photo (EXIF orientation applied)."),
    Column("format", TEXT, "File format as Pillow names it, for example JPEG."),
    Column("orientation", INT, "EXIF orientation that was applied, 1 to 8."),
    Column("phash", TEXT, "64-bit perceptual hash, hex."),
)
_DETECTED_BOX = (
    Column("object_id", TEXT, "Hash of photo, box and the detector's label."),
    Column("image_id", TEXT, "The photo."),
    Column("x1", FLOAT, "Left edge, pixels of the upright original."),
    Column("y1", FLOAT, "Top edge, pixels."),
    Column("x2", FLOAT, "Right edge, pixels, exclusive."),
    Column("y2", FLOAT, "Bottom edge, pixels, exclusive."),
    Column(
        "label",
        TEXT,
        "Category, the detector's best guess or the owner's word; empty if unknown. `labels` has "
        "what prompts say.",
    ),
    Column("confidence", FLOAT, "Confidence of the detector, 0 to 1."),
    Column(
        "detector",
        TEXT,
        "Fingerprint of the detector, its weights and its runtime; review: a reviewer drew it.",
    ),
    Column("vocabulary", TEXT, "Hash of the detector's vocabulary."),
)
_DETECTED_FACTS = (
    Column("truncated", FLAG, "Whether the frame cuts off a part, if known.", nullable=True),
    Column("occluded", FLAG, "Whether something hides a part, if known.", nullable=True),
    Column("expressions", pa.list_(TEXT), "Referring expressions from the source."),
    Column(
        "nouns",
        pa.list_(NOUN),
        "Nouns with the probability that each is true, for a detector that estimates it; a "
        "broad one, such as dog, sums that of many specific ones.",
    ),
)

PROBES = Table(
    "probes",
    "Facts read from the bytes of one photo, independent of its name and place.",
    ("image_id",),
    (
        Column("image_id", TEXT, "Hash of the photo's bytes (and region, if the URI names one)."),
        *_FILE_FACTS,
    ),
)

IMAGES = Table(
    "images",
    "One row per distinct photo that could be read.",
    ("image_id",),
    (
        Column("image_id", TEXT, "Hash of the photo's bytes (and region, if the URI names one)."),
        Column("uri", TEXT, "URI of the photo; the first in sort order if there are several."),
        Column("also_at", pa.list_(TEXT), "Other URIs with the same bytes."),
        Column("sha256", TEXT, "SHA-256 of the file's bytes, hex."),
        *_FILE_FACTS,
        Column("near_duplicate_group", TEXT, "Smallest image_id among its near-duplicates."),
        Column("source", TEXT, "Name of the source that the photo came from; by default its kind."),
        Column("licence", TEXT, "Licence, if the source gives one.", nullable=True),
        Column(
            "identity", TEXT, "Who or what the photo shows, according to the source.", nullable=True
        ),
        Column("caption", TEXT, "A true caption, if the source gives one.", nullable=True),
        Column("label", TEXT, "What the owner calls the main object, if known.", nullable=True),
        Column(
            "split",
            TEXT,
            "train, validation or test, if the source says which; `groups` has the split in use.",
            nullable=True,
        ),
        Column("annotations", pa.list_(ANNOTATION), "Objects that the source describes."),
    ),
)

DETECTIONS = Table(
    "detections",
    "Boxes of the detector, before identities and reviews.",
    ("object_id",),
    (
        *_DETECTED_BOX,
        *_DETECTED_FACTS,
        Column(
            "identity", TEXT, "Identity that the source gives for the box, if any.", nullable=True
        ),
    ),
)

OBJECTS = Table(
    "objects",
    "One row per box found in a photo.",
    ("object_id",),
    (
        *_DETECTED_BOX,
        Column("area_share", FLOAT, "Area of the box divided by area of the photo, 0 to 1."),
        Column(
            "same_label_count",
            INT,
            "Number of objects with this label in the photo, including this one.",
        ),
        Column("main", FLAG, "Whether it is the photo's main object (highest confidence x area)."),
        *_DETECTED_FACTS,
        Column("identity", TEXT, "Identity of the object, if labelled.", nullable=True),
        Column(
            "identity_origin",
            TEXT,
            "Where the identity comes from: folder, annotation, object, album, shot or review.",
            nullable=True,
        ),
        Column(
            "reviewed_box",
            BOX,
            "The box as it was detected or first drawn, if reviewers decided on it; decisions name "
            "it by that.",
            nullable=True,
        ),
        Column("label_origin", TEXT, "review, if reviewers said the label.", nullable=True),
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
        Column("view", TEXT, "Encoded view: crop or photo."),
        Column("vector", pa.list_(pa.float16()), "Vector of unit length; all have the same size."),
    ),
)

GROUPS = Table(
    "groups",
    "Group of each object, labelled or mined, and the split of its photo.",
    ("object_id",),
    (
        Column("object_id", TEXT, "The object."),
        Column("image_id", TEXT, "Its photo."),
        Column("group", TEXT, "Identity, or the smallest object_id of the mined group."),
        Column("origin", TEXT, "Origin of the group: label or mined."),
        Column(
            "split",
            TEXT,
            "Split of its photo; null if identities of different splits are in the photo.",
            nullable=True,
        ),
    ),
)

PAIRS = Table(
    "pairs",
    "Two objects in two different photos, which show the same object or different ones.",
    ("pair_id",),
    (
        Column("pair_id", TEXT, "Hash of the two objects, in order."),
        Column("kind", TEXT, "positive (same object) or negative."),
        Column("origin", TEXT, "label (decided by identities) or mined (decided by similarity)."),
        Column(
            "band",
            TEXT,
            "easy, medium or hard; hard means low similarity of a positive, high of a negative.",
        ),
        Column("anchor_id", TEXT, "Object shown as the reference."),
        Column("other_id", TEXT, "Object in the query photo."),
        Column("anchor_image_id", TEXT, "Photo of the anchor."),
        Column("other_image_id", TEXT, "Photo of the other object."),
        Column("similarity", FLOAT, "Cosine similarity, rounded to four decimals."),
        Column(
            "percentile",
            FLOAT,
            "Percentile of the similarity among all cross-photo pairs, 0 to 100.",
        ),
        Column("margin", FLOAT, "Similarity above the local background of the two objects."),
        Column("same_label", FLAG, "Whether both objects have the same label."),
        Column("split", TEXT, "train, validation or test; both photos are in it."),
        Column(
            "doubtful",
            FLAG,
            "Whether label and similarity disagree; such a pair is not used until it is reviewed.",
        ),
        Column(
            "review",
            TEXT,
            "Decision of the reviewers: accept, reject, or disputed where they differ.",
            nullable=True,
        ),
    ),
)

LABELS = Table(
    "labels",
    "What prompts call each object; all objects of an identity have one label.",
    ("object_id",),
    (
        Column("object_id", TEXT, "The object."),
        Column("image_id", TEXT, "Its photo."),
        Column("label", TEXT, "The label; null if no text may name the object.", nullable=True),
        Column("origin", TEXT, "Who says so: owner (or a reviewer) or detector.", nullable=True),
        Column(
            "probability",
            FLOAT,
            "Mean probability of the best noun in the photos of the identity, or the confidence of "
            "a detector that gives one label.",
            nullable=True,
        ),
        Column(
            "unspoken",
            TEXT,
            "Why there is no label: uncertain (no noun reaches its threshold) or unknown.",
            nullable=True,
        ),
    ),
)

EXAMPLES = Table(
    "examples",
    "One row per training example, complete except for the model's box notation.",
    ("example_id",),
    (
        Column("example_id", TEXT, "Hash of the objective, template, pictures and answer."),
        Column("image_id", TEXT, "Query photo, the last of images."),
        Column("objective", TEXT, "oct, vlt or ict."),
        Column(
            "kind",
            TEXT,
            "oct: positive, negative; vlt: label, expression; "
            "ict: single, multi, absent, mixed, which.",
        ),
        Column("split", TEXT, "train, validation or test."),
        Column("template_id", TEXT, "Template of the prompt, for example oct-07."),
        Column(
            "prompt",
            pa.list_(BLOCK),
            "Text and image blocks in order; the text of an image block is empty.",
        ),
        Column(
            "images",
            pa.list_(SHOWN),
            "One per image block, in order; the last is the query photo. "
            "crop is the part to show; the full frame if not cropped. augmentation is how the crop "
            "is changed (percents; null: not at all).",
        ),
        Column(
            "answer",
            TEXT,
            "oct: yes or no; vlt: {box}, which is rendered from box for each model; "
            "ict: the true caption, empty if none is known (before version 11 of the stage: the "
            "present names); which: one name in <>, or none.",
        ),
        Column(
            "box",
            BOX,
            "vlt: the answer; which: the box in question, rendered as {box} in the prompt; "
            "xyxy pixels of the query photo.",
            nullable=True,
        ),
        Column(
            "caption", TEXT, "ict: a true caption that contains the names, if known.", nullable=True
        ),
        Column(
            "references",
            pa.list_(REFERENCE),
            "oct, ict: the named objects, whether each is present, and its anchor object.",
        ),
        Column(
            "scene",
            pa.list_(SCENE),
            "ict: objects of the query photo: name in this example (or null), box, label, and "
            "phrases that refer to no other object.",
        ),
        Column(
            "distinctive_words",
            pa.list_(TEXT),
            "ict: words that are true of the query photo and of few others; empty if the source "
            "does not give both a caption and expressions, or if there are fewer than three.",
        ),
        Column(
            "distractor_words",
            pa.list_(TEXT),
            "ict: words that describe other photos and nothing known in this one; empty if "
            "distinctive_words is.",
        ),
        Column(
            "origin",
            TEXT,
            "oct, ict: two_photos (references are of other photos than the query) or same_photo (a "
            "present reference is a crop of the query itself); vlt: null.",
            nullable=True,
        ),
        Column("pair_ids", pa.list_(TEXT), "Pairs that the example is based on."),
        Column("band", TEXT, "Band of its hardest pair.", nullable=True),
        Column("similarity", FLOAT, "Similarity of its hardest pair.", nullable=True),
        Column("seed", LONG, "Seed of its random draws."),
    ),
)

QUARANTINE = Table(
    "quarantine",
    "One row per input that could not be used, with the reason. No input is dropped silently.",
    ("uri", "stage"),
    (
        Column("uri", TEXT, "URI of the input."),
        Column("image_id", TEXT, "Id of the photo, if its bytes could be read.", nullable=True),
        Column("stage", TEXT, "The stage that refused it."),
        Column("error", TEXT, "Error code, for example truncated."),
        Column("message", TEXT, "Description of the error."),
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
    LABELS,
    EXAMPLES,
    QUARANTINE,
)

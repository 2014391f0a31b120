"""Tables that training, evaluation and refresh write; see `build` for those of a build."""

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

NEAR = struct(name=TEXT, similarity=FLOAT)
SHOWN = struct(name=TEXT, info=TEXT, present=FLAG)
CROP = struct(box=BOX, label=TEXT, confidence=FLOAT, nearest=pa.list_(NEAR))

ROLLOUTS = Table(
    "rollouts",
    "One row per answer that a model gave in training; joins to examples by example_id.",
    ("step", "group", "sample"),
    (
        Column("step", INT, "Optimiser step that learned from it first, from 1."),
        Column("group", INT, "Which of the step's groups; all of a group answer one example."),
        Column("sample", INT, "Which of the group's answers."),
        Column("example_id", TEXT, "The example."),
        Column("objective", TEXT, "oct, vlt or ict."),
        Column("kind", TEXT, "Of the example."),
        Column("completion", TEXT, "The answer, without special tokens."),
        Column("reward", FLOAT, "What was trained on, 0 to 1; null: not scored.", nullable=True),
        Column("components", pa.map_(TEXT, FLOAT), "Parts of the reward: components['iou']."),
        Column("reason", TEXT, "Why it got that: right, wrong, or what is malformed."),
        Column("advantage", FLOAT, "Reward against its group, as the loss saw it."),
        Column("length", INT, "Tokens of the answer, its end included."),
        Column("truncated", FLAG, "Whether it was cut at the longest that is sampled."),
    ),
)

CAPTIONS = Table(
    "captions",
    "One row per caption that an evaluation asked a model for, with all that made it.",
    ("caption_id",),
    (
        Column("caption_id", TEXT, "Hash of the question, the model and how it generates."),
        Column("question_id", TEXT, "Hash of what was asked; models are compared on the same."),
        Column("model", TEXT, "As it was asked for: a checkpoint's version, or a base model."),
        Column("suite", TEXT, "Whose photos, for example sample."),
        Column("part", TEXT, "Concepts per photo, or the kind of the hard part."),
        Column("protocol", TEXT, "Which references are shown; see the guide to evaluation."),
        Column("layout", TEXT, "How they are written into the prompt: training or paper."),
        Column("image_id", TEXT, "The photo."),
        Column("concepts", pa.list_(TEXT), "Names that a right caption uses."),
        Column("prompt", pa.list_(BLOCK), "Text and image blocks in order."),
        Column(
            "images", pa.list_(PICTURE), "One per image block, in order; the last is the photo."
        ),
        Column("references", pa.list_(SHOWN), "What was shown, in the order of the prompt."),
        Column("crops", pa.list_(CROP), "Boxes of retrieval, and the concepts nearest to each."),
        Column("scene", pa.list_(SCENE), "Objects of the photo, where the suite knows them."),
        Column("caption", TEXT, "The answer, without special tokens."),
    ),
)

SCORES = Table(
    "scores",
    "The strict metric and CLIPScore of each caption; means over rows are what `metrics` says.",
    ("caption_id",),
    (
        Column("caption_id", TEXT, "The caption."),
        Column("question_id", TEXT, "What was asked; models are compared on the same."),
        Column("suite", TEXT, "Of the caption."),
        Column("part", TEXT, "Of the caption."),
        Column("protocol", TEXT, "Of the caption."),
        Column("image_id", TEXT, "The photo: intervals are clustered by it."),
        Column("precision", FLOAT, "Of the names used."),
        Column("recall", FLOAT, "Of the names that are right."),
        Column("f1", FLOAT, "Set-F1 of the names; 1 where nobody is to be named and nobody is."),
        Column("exact", FLAG, "Whether exactly the right names are used."),
        Column("extra_names", INT, "Wrong names, over the whole pool."),
        Column(
            "false_mention",
            FLAG,
            "Whether an absent reference is named; null where none was shown.",
            nullable=True,
        ),
        Column("claims", INT, "Claims about who is what that could be checked."),
        Column("right_claims", INT, "Those that are right."),
        Column(
            "clip_score",
            FLOAT,
            "How well it fits its photo, 0 to 2.5; null where the encoder reads no texts.",
            nullable=True,
        ),
        Column("reason", TEXT, "right, or the first fault: absent_named, wrong_name, ..."),
    ),
)

METRICS = Table(
    "metrics",
    "Every number of an evaluation, with its interval.",
    ("protocol", "part", "metric", "score"),
    (
        Column("model", TEXT, "As it was asked for."),
        Column("suite", TEXT, "Whose photos."),
        Column("protocol", TEXT, "Which references were shown."),
        Column("part", TEXT, "A part of the suite, or all."),
        Column("metric", TEXT, "strict, paper, quality; or retrieval, without a model."),
        Column("score", TEXT, "For example f1 or false_mention."),
        Column("value", pa.float64(), "Null where nothing could be measured.", nullable=True),
        Column("low", pa.float64(), "Of the 95 % interval, clustered by photo.", nullable=True),
        Column("high", pa.float64(), "Of the 95 % interval.", nullable=True),
        Column("n", LONG, "How many it is a mean over."),
        Column("unit", TEXT, "What these are."),
    ),
)

PROMOTIONS = Table(
    "promotions",
    "Every decision about a checkpoint, metric by metric: who took over, and why.",
    ("decision", "metric"),
    (
        Column("decision", INT, "Number of the decision, from 1."),
        Column("made_at", pa.timestamp("us", "UTC"), "When."),
        Column("request", TEXT, "Fingerprint of the settings and examples of the refresh."),
        Column("verdict", TEXT, "first, promoted, refused or rolled back."),
        Column("why", TEXT, "The decision in a sentence."),
        Column("candidate", TEXT, "The checkpoint that it is about."),
        Column("production", TEXT, "The checkpoint in use before.", nullable=True),
        Column("metric", TEXT, "For example f1 (mixed); - where nothing was compared."),
        Column("before", pa.float64(), "Of the checkpoint in use before.", nullable=True),
        Column("after", pa.float64(), "Of the candidate.", nullable=True),
        Column("difference", pa.float64(), "After minus before, paired.", nullable=True),
        Column("low", pa.float64(), "Of its 95 % interval.", nullable=True),
        Column("high", pa.float64(), "Of its 95 % interval.", nullable=True),
        Column("n", LONG, "Questions or rows that both answered.", nullable=True),
        Column("margin", pa.float64(), "By how much it may be worse.", nullable=True),
        Column("met", FLAG, "Whether this metric allows to promote."),
    ),
)

OF_MODELS = (ROLLOUTS, CAPTIONS, SCORES, METRICS, PROMOTIONS)

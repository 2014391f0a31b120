"""Tables of training, evaluation and refresh."""

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
    "One row per answer sampled in training; joins to examples by example_id.",
    ("step", "group", "sample"),
    (
        Column("step", INT, "First optimizer step that used the answer, from 1."),
        Column(
            "group",
            INT,
            "Number of the group in the step; a group holds the answers to one example.",
        ),
        Column("sample", INT, "Number of the answer in the group."),
        Column("example_id", TEXT, "The example."),
        Column("objective", TEXT, "oct, vlt or ict."),
        Column("kind", TEXT, "Kind of the example."),
        Column("completion", TEXT, "The answer, without special tokens."),
        Column(
            "reward", FLOAT, "Reward used in training, 0 to 1; null if not scored.", nullable=True
        ),
        Column(
            "components",
            pa.map_(TEXT, FLOAT),
            "Components of the reward, for example components['iou'].",
        ),
        Column(
            "reason", TEXT, "Reason for the reward: right, wrong, or how the answer is malformed."
        ),
        Column("advantage", FLOAT, "Advantage within the group, as used in the loss."),
        Column("length", INT, "Number of tokens of the answer, including the end token."),
        Column("truncated", FLAG, "Whether the answer was cut off at the maximum length."),
    ),
)

CAPTIONS = Table(
    "captions",
    "One row per caption of an evaluation, with the complete question.",
    ("caption_id",),
    (
        Column("caption_id", TEXT, "Hash of the question, the model and its generation settings."),
        Column(
            "question_id", TEXT, "Hash of the question; models are compared on the same questions."
        ),
        Column("model", TEXT, "Model as requested: version of a checkpoint, or a base model."),
        Column("suite", TEXT, "Evaluation suite that the photos belong to, for example sample."),
        Column(
            "part", TEXT, "Part of the suite: number of concepts per photo, or kind of difficulty."
        ),
        Column("protocol", TEXT, "Rule that selects the references; see the evaluation guide."),
        Column("layout", TEXT, "Prompt layout of the references: training or paper."),
        Column("image_id", TEXT, "The photo."),
        Column("concepts", pa.list_(TEXT), "Names that a correct caption uses."),
        Column("prompt", pa.list_(BLOCK), "Text and image blocks in order."),
        Column(
            "images", pa.list_(PICTURE), "One per image block, in order; the last is the photo."
        ),
        Column("references", pa.list_(SHOWN), "References in the prompt, in order."),
        Column(
            "crops", pa.list_(CROP), "Boxes that retrieval used, with the nearest concepts of each."
        ),
        Column("scene", pa.list_(SCENE), "Objects of the photo, if the suite lists them."),
        Column("caption", TEXT, "The answer, without special tokens."),
    ),
)

SCORES = Table(
    "scores",
    "Strict metric and CLIPScore of each caption; `metrics` holds the means.",
    ("caption_id",),
    (
        Column("caption_id", TEXT, "The caption."),
        Column(
            "question_id", TEXT, "Hash of the question; models are compared on the same questions."
        ),
        Column("suite", TEXT, "Suite of the caption."),
        Column("part", TEXT, "Part of the caption."),
        Column("protocol", TEXT, "Protocol of the caption."),
        Column("image_id", TEXT, "The photo; confidence intervals are clustered by photo."),
        Column("precision", FLOAT, "Precision of the names in the caption."),
        Column("recall", FLOAT, "Recall of the correct names."),
        Column("f1", FLOAT, "Set-F1 of the names; 1 if no name is expected and none is used."),
        Column("exact", FLAG, "Whether exactly the correct names are used."),
        Column("extra_names", INT, "Number of wrong names, among all names of the suite."),
        Column(
            "false_mention",
            FLAG,
            "Whether an absent reference is named; null if no absent reference was in the prompt.",
            nullable=True,
        ),
        Column("claims", INT, "Number of checkable claims about named objects."),
        Column("right_claims", INT, "Number of those claims that are correct."),
        Column(
            "clip_score",
            FLOAT,
            "CLIPScore of caption and photo, 0 to 2.5; null if the encoder has no text model.",
            nullable=True,
        ),
        Column("reason", TEXT, "right, or the first error: absent_named, wrong_name, ..."),
    ),
)

METRICS = Table(
    "metrics",
    "Every metric of an evaluation, with its confidence interval.",
    ("protocol", "part", "metric", "score"),
    (
        Column("model", TEXT, "Model as requested."),
        Column("suite", TEXT, "Evaluation suite."),
        Column("protocol", TEXT, "Rule that selected the references."),
        Column("part", TEXT, "Part of the suite, or all."),
        Column("metric", TEXT, "strict, paper, quality, facts, reference, or retrieval."),
        Column("score", TEXT, "Name of the score, for example f1 or false_mention."),
        Column("value", pa.float64(), "Value; null if nothing could be measured.", nullable=True),
        Column(
            "low",
            pa.float64(),
            "Lower bound of the 95 % interval, clustered by photo.",
            nullable=True,
        ),
        Column("high", pa.float64(), "Upper bound of the 95 % interval.", nullable=True),
        Column("n", LONG, "Number of items that the value is a mean of."),
        Column("unit", TEXT, "What these items are."),
    ),
)

ANSWERS = Table(
    "answers",
    "One row per short answer of an evaluation: recognition, or multiple-choice VQA.",
    ("answer_id",),
    (
        Column("answer_id", TEXT, "Hash of the question, the model and its generation settings."),
        Column(
            "question_id", TEXT, "Hash of the question; models are compared on the same questions."
        ),
        Column("model", TEXT, "Model as requested: version of a checkpoint, or a base model."),
        Column("suite", TEXT, "Evaluation suite that the photos belong to."),
        Column("task", TEXT, "recognition or vqa."),
        Column(
            "part",
            TEXT,
            "single: the photo shows one concept; multi: one of several; together: all of them.",
        ),
        Column("layout", TEXT, "Prompt layout of the references: training or paper."),
        Column("image_id", TEXT, "The photo; confidence intervals are clustered by photo."),
        Column("concepts", pa.list_(TEXT), "Names that the question is about."),
        Column("prompt", pa.list_(BLOCK), "Text and image blocks in order."),
        Column(
            "images", pa.list_(PICTURE), "One per image block, in order; the last is the photo."
        ),
        Column("options", pa.list_(TEXT), "Options A, B, ...; empty if the text lists them."),
        Column("expected", TEXT, "yes, no, or the right letter."),
        Column("answer", TEXT, "The model's answer, without special tokens."),
        Column("read", TEXT, "What was read from it; null if it could not be read.", nullable=True),
        Column("correct", FLAG, "Whether that is the expected answer."),
    ),
)

PROMOTIONS = Table(
    "promotions",
    "Every decision on a checkpoint: one row per metric, with the reason.",
    ("decision", "metric"),
    (
        Column("decision", INT, "Number of the decision, from 1."),
        Column("made_at", pa.timestamp("us", "UTC"), "Time of the decision."),
        Column("request", TEXT, "Fingerprint of the settings and examples of the refresh."),
        Column("verdict", TEXT, "first, promoted, refused or rolled back."),
        Column("why", TEXT, "The decision in one sentence."),
        Column("candidate", TEXT, "The checkpoint under decision."),
        Column(
            "production", TEXT, "The checkpoint in production before the decision.", nullable=True
        ),
        Column("metric", TEXT, "For example f1 (mixed); - if nothing was compared."),
        Column(
            "before", pa.float64(), "Value of the checkpoint in production before.", nullable=True
        ),
        Column("after", pa.float64(), "Value of the candidate.", nullable=True),
        Column("difference", pa.float64(), "Paired difference, after minus before.", nullable=True),
        Column("low", pa.float64(), "Lower bound of its 95 % interval.", nullable=True),
        Column("high", pa.float64(), "Upper bound of its 95 % interval.", nullable=True),
        Column("n", LONG, "Number of questions or rows that both models answered.", nullable=True),
        Column("margin", pa.float64(), "Maximum allowed decline.", nullable=True),
        Column("met", FLAG, "Whether this metric permits promotion."),
    ),
)

OF_MODELS = (ROLLOUTS, CAPTIONS, SCORES, METRICS, ANSWERS, PROMOTIONS)

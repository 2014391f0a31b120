"""Training of the vision-language model: first the vision tower, then the language model.

`vlm_vision` is the first half, `vlm_language` the second, on cached features. The result is
`vlm-full`, from which `train_base` makes `vlm-base`. No reward is used.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repic.images.model_families import qwen25_vl
from repic.objectives import Row
from tools.sample_models import vlm_language, vlm_model, vlm_photos, vlm_rows, vlm_vision
from tools.sample_models.vlm_encoding import EncodedRow, RowEncoder, VisionFeatures
from tools.sample_models.vlm_photos import PhotoSet
from tools.sample_models.vlm_vision import VisionLabels

VISION_SETS, LANGUAGE_SETS = 60, 30
"""Photo sets for the vision tower; the language model uses the first of them."""
VISION_STEPS, LANGUAGE_STEPS = 1800, 2500
MAX_ROWS = {"oct": 1000, "vlt": 2000, "ict": 1200, "which": 400}
"""Maximum rows per photo set."""
TUNING_ROWS = 200
"""Maximum tuning rows per kind."""
_FEATURE_RMS = 0.5
"""Root mean square of a feature; word embeddings start far smaller and grow."""


def train(work: Path, threads: int) -> Path:
    """Train, or resume from the state in `work`; returns the folder of the checkpoint."""
    import torch

    torch.set_num_threads(threads)
    processor = vlm_model.processor()
    model = vlm_model.untrained(processor.tokenizer)
    photo_sets = vlm_photos.training_sets(work / "photos", VISION_SETS, threads)
    tuning_sets = [vlm_photos.tuning_photos(work / "photos")]
    tuning = VisionLabels(tuning_sets)
    vision = work / "vision.pt"
    vlm_vision.train(model, VisionLabels(photo_sets), tuning, VISION_STEPS, vision)
    model.model.visual.load_state_dict(torch.load(vision, weights_only=True)["visual"])
    features, tuning_features = vision_features(
        model, VisionLabels(photo_sets[:LANGUAGE_SETS]), tuning
    )
    encoder = RowEncoder(processor.tokenizer, qwen25_vl(processor.image_processor))
    rows = [
        row
        for number, photo_set in enumerate(photo_sets[:LANGUAGE_SETS])
        for row in first_rows(vlm_rows.rows(photo_set, number, vlm_rows.TRAINING))
    ]
    vlm_language.train(
        model,
        encoder,
        encoded_rows(rows, encoder, features, photo_sets),
        features,
        (encoded_tuning_rows(tuning_sets, encoder, tuning_features), tuning_features),
        LANGUAGE_STEPS,
        work / "language.pt",
    )
    return vlm_model.save(model, processor, work / "vlm-full")


def vision_features(
    model: Any, truth: VisionLabels, tuning: VisionLabels
) -> tuple[VisionFeatures, VisionFeatures]:
    """Features of the tower, after scaling its last layer to a fixed feature size."""
    import torch

    features, tuning_features = (
        VisionFeatures(model.model.visual, truth),
        VisionFeatures(model.model.visual, tuning, False),
    )
    scale = _FEATURE_RMS / float(features.features.square().mean().sqrt())
    last = model.model.visual.merger.mlp[2]
    with torch.no_grad():
        for values in (last.weight, last.bias, features.features, tuning_features.features):
            values.mul_(scale)
    return features, tuning_features


def first_rows(rows: Sequence[Row]) -> list[Row]:
    """The first rows of each kind, at most `MAX_ROWS`; the order of rows is random."""
    remaining = dict(MAX_ROWS)
    kept = []
    for row in rows:
        remaining[kind_of(row)] -= 1
        if remaining[kind_of(row)] >= 0:
            kept.append(row)
    return kept


def kind_of(row: Row) -> str:
    """A key of `vlm_language.BATCH`: the objective, or `which`."""
    return "which" if row["kind"] == "which" else str(row["objective"])


def encoded_rows(
    rows: Sequence[Row],
    encoder: RowEncoder,
    features: VisionFeatures,
    photo_sets: Sequence[PhotoSet],
) -> dict[str, list[EncodedRow]]:
    """Encoded rows by kind, sorted by length; ICT rows without a caption are skipped."""
    rows_by_kind: dict[str, list[EncodedRow]] = {kind: [] for kind in vlm_language.BATCH}
    for row in rows:
        if kind_of(row) != "ict" or row["caption"] is not None:
            rows_by_kind[kind_of(row)].append(encoder.encode(row, features, photo_sets))
    return {
        kind: sorted(encoded, key=lambda row: len(row.ids))
        for kind, encoded in rows_by_kind.items()
    }


def encoded_tuning_rows(
    photo_sets: Sequence[PhotoSet], encoder: RowEncoder, features: VisionFeatures
) -> dict[str, list[EncodedRow]]:
    """Encoded rows of validation identities, for monitoring."""
    rows = vlm_rows.rows(photo_sets[0], 0, vlm_rows.HOLDOUT, "validation")
    rows_by_kind = encoded_rows(rows, encoder, features, photo_sets)
    return {
        kind: random.Random(0).sample(encoded, min(len(encoded), TUNING_ROWS))
        for kind, encoded in rows_by_kind.items()
    }

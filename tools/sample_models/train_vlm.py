"""The vision-language model: first it learns to see, then to speak of what it sees.

`vlm_vision` is the first half, `vlm_language` the second, on features
that are computed once. Both checkpoints come out of one run: `vlm-sft` is the state after `START`
steps of the second half, `vlm-full` that at its end. No reward is used anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from repic.images.coordinates import qwen25_vl
from repic.objectives import Row
from tools.sample_models import vlm_language, vlm_model, vlm_photos, vlm_rows, vlm_vision
from tools.sample_models.vlm_encoding import EncodedRow, RowEncoder, VisionFeatures
from tools.sample_models.vlm_photos import PhotoSet
from tools.sample_models.vlm_vision import VisionLabels

SEEN, TOLD = 60, 30
"""Albums that the tower sees, and those of them that are spoken of."""
VISION_STEPS, LANGUAGE_STEPS = 1800, 2500
START = 1500
"""Steps of the second half after which the model is the start of reinforcement."""
LINES = {"oct": 1000, "vlt": 2000, "ict": 1200, "which": 400}
"""Lines of an album, at most."""
WATCHED = 200
_LOUDNESS = 0.5
"""Root mean square of a feature; a word's embedding is far smaller, and grows."""


def train(work: Path, threads: int) -> list[Path]:
    """Train from where `work` says that it stopped; the folders of the two checkpoints."""
    import torch

    torch.set_num_threads(threads)
    processor = vlm_model.processor()
    model = vlm_model.untrained(processor.tokenizer)
    albums = vlm_photos.albums(work / "photos", SEEN, threads)
    watched = [vlm_photos.tuning_photos(work / "photos")]
    tuning = VisionLabels(watched)
    vision = work / "vision.pt"
    vlm_vision.train(model, VisionLabels(albums), tuning, VISION_STEPS, vision)
    model.model.visual.load_state_dict(torch.load(vision, weights_only=True)["visual"])
    sights, tuning_sights = vision_features(model, VisionLabels(albums[:TOLD]), tuning)
    encoder = RowEncoder(processor.tokenizer, qwen25_vl(processor.image_processor))
    rows = [
        row
        for number, album in enumerate(albums[:TOLD])
        for row in some(vlm_rows.rows(album, number, vlm_rows.LESSONS))
    ]
    start, language = work / "language-start.pt", work / "language.pt"
    vlm_language.train(
        model,
        encoder,
        encoded_rows(rows, encoder, sights, albums),
        sights,
        (encoded_tuning_rows(watched, encoder, tuning_sights), tuning_sights),
        LANGUAGE_STEPS,
        language,
        {START: start},
    )
    full = vlm_model.save(model, processor, work / "vlm-full")
    model.model.language_model.load_state_dict(torch.load(start, weights_only=True))
    return [vlm_model.save(model, processor, work / "vlm-sft"), full]


def vision_features(
    model: Any, truth: VisionLabels, tuning: VisionLabels
) -> tuple[VisionFeatures, VisionFeatures]:
    """What the tower sees, after its last layer was scaled to features of one size."""
    import torch

    sights, tuning_sights = (
        VisionFeatures(model.model.visual, truth),
        VisionFeatures(model.model.visual, tuning, False),
    )
    scale = _LOUDNESS / float(sights.features.square().mean().sqrt())
    last = model.model.visual.merger.mlp[2]
    with torch.no_grad():
        for values in (last.weight, last.bias, sights.features, tuning_sights.features):
            values.mul_(scale)
    return sights, tuning_sights


def some(rows: Sequence[Row]) -> list[Row]:
    """At most `LINES` rows of each kind, the first by id, which is no order of anything."""
    left = dict(LINES)
    kept = []
    for row in rows:
        left[kind_of(row)] -= 1
        if left[kind_of(row)] >= 0:
            kept.append(row)
    return kept


def kind_of(row: Row) -> str:
    """A key of `vlm_language.BATCH`: the objective, or `which`."""
    return "which" if row["kind"] == "which" else str(row["objective"])


def encoded_rows(
    rows: Sequence[Row], encoder: RowEncoder, sights: VisionFeatures, albums: Sequence[PhotoSet]
) -> dict[str, list[EncodedRow]]:
    """Lines of each kind by length; a caption that is not known cannot be learned."""
    lines: dict[str, list[EncodedRow]] = {kind: [] for kind in vlm_language.BATCH}
    for row in rows:
        if kind_of(row) != "ict" or row["caption"] is not None:
            lines[kind_of(row)].append(encoder.line(row, sights, albums))
    return {kind: sorted(some, key=lambda line: len(line.ids)) for kind, some in lines.items()}


def encoded_tuning_rows(
    albums: Sequence[PhotoSet], encoder: RowEncoder, sights: VisionFeatures
) -> dict[str, list[EncodedRow]]:
    """Lines about identities of validation, to watch the training by."""
    rows = vlm_rows.rows(albums[0], 0, vlm_rows.HOLDOUT, "validation")
    found = encoded_rows(rows, encoder, sights, albums)
    return {
        kind: random.Random(0).sample(some, min(len(some), WATCHED)) for kind, some in found.items()
    }

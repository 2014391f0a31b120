"""Training of `sample-base`, the start of reinforcement learning, from `sample-full`.

`sample-full` sees, and answers as the rewards want. A general model sees as well but has general
habits, and reinforcement teaches it to use what it sees. `sample-base` is `sample-full` after a
short training on general answers, none of which is wrong by its own convention:

- most captions describe the referenced objects instead of using their names (`NAMED` is the rest);
- negatives of same/different questions are easy, so look-alikes get a yes;
- boxes include some of the surroundings (`MARGIN`), as in many annotated data sets.

The vision tower is frozen. No reward is used, and only identities of the training split.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from repic.config import ExampleSettings
from repic.images.model_families import qwen25_vl
from repic.models import shipped
from repic.objectives import Row
from repic.sample.seeds import generator
from tools.sample_models import train_vlm, vlm_language, vlm_model, vlm_photos, vlm_rows
from tools.sample_models.training_data import SIDE
from tools.sample_models.vlm_encoding import EncodedRow, RowEncoder, VisionFeatures
from tools.sample_models.vlm_photos import PhotoSet
from tools.sample_models.vlm_vision import VisionLabels

SETS = 6
"""Photo sets, the first of those of `sample-full`."""
STEPS = 260
NAMED = 0.4
"""Share of ICT rows whose caption uses the given names."""
MARGIN = 0.1
"""Surroundings on each side of a box, in shares of its side."""
BATCH = {"oct": 10, "vlt": 20, "ict": 20, "which": 4}
"""Rows per step and kind."""
WEIGHTS = {"oct": 1.0, "vlt": 1.0, "ict": 1.0, "which": 0.3}
SHARPENED = {"oct": 1.0, "vlt": 1.0, "ict": 1.5, "which": 1.0}
"""Temperature of the training loss. Above 1, samples at temperature 1 are nearer to the greedy
answer: otherwise every second sampled caption has a wrong colour or pattern, and the noise of
its reward hides whether names were used."""
GENERAL = ExampleSettings.model_validate(
    {
        "oct": {"band_shares": {"easy": 1.0}},
        "vlt": {"max_per_photo": 4},
        "ict": {"same_photo_share": 0.15},
    }
)
_RATE, _WARM_UP, _LAST_RATE = 3e-4, 10, 0.02
_REPORTED = 20


def train(work: Path, threads: int) -> Path:
    """Train from the shipped `sample-full`; returns the folder of the checkpoint in `work`."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    processor = vlm_model.processor()
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        shipped.vlm_folder("sample-full"), dtype=torch.float32
    )
    photo_sets = vlm_photos.training_sets(work / "photos", SETS, threads)
    features = VisionFeatures(model.model.visual, VisionLabels(photo_sets))
    encoder = RowEncoder(processor.tokenizer, qwen25_vl(processor.image_processor))
    rows = general_rows(photo_sets)
    fit(
        model.model.language_model,
        train_vlm.encoded_rows(rows, encoder, features, photo_sets),
        features,
    )
    return vlm_model.save(model, processor, work / "vlm-base")


def general_rows(photo_sets: Sequence[PhotoSet]) -> list[Row]:
    """Rows of all photo sets with general answers."""
    return [
        general(row, photo_set)
        for number, photo_set in enumerate(photo_sets)
        for row in train_vlm.first_rows(vlm_rows.rows(photo_set, number, GENERAL))
    ]


def general(row: Row, photo_set: PhotoSet) -> Row:
    """A row with the answer of a general model; rows that it answers as we do are unchanged."""
    if row["objective"] == "vlt":
        return {**row, "box": loose(row["box"])}
    is_caption = row["objective"] == "ict" and row["kind"] != "which"
    if not is_caption or row["caption"] is None:
        return row
    if generator("named", row["example_id"]).random() < NAMED:
        return row
    _, photo = vlm_rows.photo_of(row["images"][-1]["image_id"])
    return {**row, "caption": photo_set.photos[photo]["caption"]}


def loose(box: Sequence[float]) -> list[float]:
    """A box in pixels with `MARGIN` around it, inside of the photo."""
    x1, y1, x2, y2 = box
    across, down = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    return [
        max(0.0, x1 - across),
        max(0.0, y1 - down),
        min(float(SIDE), x2 + across),
        min(float(SIDE), y2 + down),
    ]


def fit(
    language: Any, rows_by_kind: Mapping[str, Sequence[EncodedRow]], features: VisionFeatures
) -> None:
    """`STEPS` steps on answers alone, without the auxiliary losses of `vlm_language`.

    Args:
        rows_by_kind: Rows by kind, sorted by length, to reduce padding in a batch.
    """
    parameters = list(language.parameters())
    optimizer = torch.optim.AdamW(parameters, _RATE, betas=(0.9, 0.95), weight_decay=0.0)
    started = time.monotonic()
    for step in range(STEPS):
        share = min(1.0, (step + 1) / _WARM_UP) * max(_LAST_RATE, 1 - step / STEPS)
        for group in optimizer.param_groups:
            group["lr"] = _RATE * share
        optimizer.zero_grad()
        losses = {}
        rng = generator("base", step)
        for kind, count in BATCH.items():
            first = int(rng.integers(0, max(1, len(rows_by_kind[kind]) - count)))
            batch = vlm_language.Batch(
                rows_by_kind[kind][first : first + count], language.padding_idx
            )
            loss = answer_loss(language, batch, features, SHARPENED[kind])
            (loss * WEIGHTS[kind]).backward()
            losses[kind] = float(loss.detach())
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if (step + 1) % _REPORTED == 0:
            text = ", ".join(f"{kind} {loss:.3f}" for kind, loss in losses.items())
            seconds = time.monotonic() - started
            print(f"base step {step + 1} of {STEPS}: {text}; {seconds:.0f} s", flush=True)


def answer_loss(
    language: Any, batch: vlm_language.Batch, features: VisionFeatures, temperature: float
) -> torch.Tensor:
    """Cross-entropy of the answers at a temperature, mean over their tokens."""
    is_image = batch.feature_rows >= 0
    with vlm_model.fast_autocast():
        embedded = language.embed_tokens(batch.ids)
        image = features.features[batch.feature_rows[is_image]].to(embedded.dtype)
        embedded = embedded.masked_scatter(is_image[..., None], image)
        _, _, last, _, _ = vlm_language.states(language, embedded, batch.positions)
        is_answer = batch.labels != -100
        logits = (last[is_answer] @ language.embed_tokens.weight.T).float()
    return functional.cross_entropy(logits / temperature, batch.labels[is_answer])

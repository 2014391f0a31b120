"""Held-out measurement of the vision-language model: strict rewards of its answers.

Rows are presented as in training: a chat of blocks, with each picture cropped from its photo.
Held-out rows are about `RESERVED` identities.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from repic.images.model_families import convention_for
from repic.objectives import Reward, Row
from repic.objectives.base import prompt_of
from repic.rewards.scoring import score
from repic.sample.seeds import generator
from tools.sample_models import vlm_rows
from tools.sample_models.vlm_photos import PhotoSet
from tools.sample_models.vlm_rows import photo_of

MAX_NEW_TOKENS = 96
_BATCH = 32
HIT = 0.5
"""Minimum IoU of a hit."""
_TAG = re.compile(r"<[^<>]+>")


@dataclass(frozen=True)
class HoldoutAnswer:
    """Answer of a model to a row, and its reward; `finished` unless truncated."""

    row: Row
    text: str
    finished: bool
    reward: Reward


def holdout_rows(photo_sets: Sequence[PhotoSet], count: int, split: str = "test") -> list[Row]:
    """`count` rows each of OCT (hard and balanced), VLT and ICT captions; half as many `which`."""
    rows = [
        row
        for number, photo_set in enumerate(photo_sets)
        for row in vlm_rows.rows(photo_set, number, vlm_rows.HOLDOUT, split)
    ]
    rng = generator("exam rows", count)
    chosen: list[Row] = []
    for wanted, size in (
        (("positive",), count // 2),
        (("negative",), count // 2),
        (("label", "expression"), count),
        (("single", "multi", "absent", "mixed"), count),
        (("which",), count // 2),
    ):
        matching = [row for row in rows if row["kind"] in wanted]
        chosen += [matching[i] for i in rng.permutation(len(matching))[:size]]
    return chosen


def pictures(row: Row, photo_sets: Sequence[PhotoSet]) -> list[Image.Image]:
    """The pictures of a row: crops of the references, and the query photo."""
    images = []
    for picture in row["images"]:
        number, photo = photo_of(picture["image_id"])
        x1, y1, x2, y2 = (round(v) for v in picture["crop"])
        images.append(Image.fromarray(photo_sets[number].pixels[photo]).crop((x1, y1, x2, y2)))
    return images


def answers(
    model: Any,
    processor: Any,
    rows: Sequence[Row],
    photo_sets: Sequence[PhotoSet],
    temperature: float,
) -> Iterator[HoldoutAnswer]:
    """Answers to rows, batched by similar length.

    Args:
        temperature: Sampling temperature; 0 for greedy decoding.
    """
    import torch

    convention = convention_for(model.config, processor.image_processor)
    torch.manual_seed(0)
    order = sorted(
        rows, key=lambda row: (row["objective"], row["kind"] == "which", len(row["images"]))
    )
    for start in range(0, len(order), _BATCH):
        part = order[start : start + _BATCH]
        chats = [[{"role": "user", "content": prompt_of(row, convention)}] for row in part]
        texts = processor.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
        images = [pictures(row, photo_sets) for row in part]
        batch = processor(text=texts, images=images, padding=True, return_tensors="pt")
        sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        with torch.inference_mode():
            generated = model.generate(
                **batch,
                max_new_tokens=MAX_NEW_TOKENS,
                **(sampling if temperature else {"do_sample": False}),
            )[:, batch["input_ids"].shape[1] :]
        for row, ids in zip(part, generated, strict=True):
            text = processor.decode(ids, skip_special_tokens=True)
            finished = bool((ids == processor.tokenizer.eos_token_id).any())
            yield HoldoutAnswer(row, text, finished, score(text, row, "strict", convention))


def is_valid(answer: HoldoutAnswer) -> bool:
    """Whether an answer has the format of its row: a caption, one box, one name, yes or no.

    A caption needs words and complete tags; names in tags that no reference has are counted as
    `stranger` in `mean_scores`.
    """
    if not answer.finished:
        return False
    if "format" in answer.reward.components:
        return answer.reward.components["format"] == 1
    untagged = _TAG.sub("", answer.text)
    return bool(untagged.strip()) and not set("<>") & set(untagged)


def mean_scores(scored: Sequence[HoldoutAnswer]) -> dict[str, tuple[float, float, int]]:
    """Mean, half of its 95 % interval, and number of answers, by metric."""
    values_by_metric: dict[str, list[float]] = {}
    for answer in scored:
        kind, reward = _kind(answer.row), answer.reward
        values_by_metric.setdefault("valid", []).append(float(is_valid(answer)))
        values_by_metric.setdefault(f"{kind} valid", []).append(float(is_valid(answer)))
        values_by_metric.setdefault(kind, []).append(reward.total)
        if kind == "vlt":
            values_by_metric.setdefault("vlt hit", []).append(
                float(reward.components["iou"] >= HIT)
            )
        if kind == "ict":
            for name, value in reward.components.items():
                values_by_metric.setdefault(f"ict {name}", []).append(value)
            strangers = (reward.parsed or {}).get("strangers", ())
            values_by_metric.setdefault("ict stranger", []).append(float(bool(strangers)))
    return {name: _mean(values) for name, values in sorted(values_by_metric.items())}


def _kind(row: Mapping[str, Any]) -> str:
    return "which" if row["kind"] == "which" else str(row["objective"])


def _mean(values: Sequence[float]) -> tuple[float, float, int]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return float(np.mean(values)), 1.96 * spread / len(values) ** 0.5, len(values)

"""What OCT and VLT rows that no training saw earn with a checkpoint, greedily."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from repic.config.evaluate import Evaluation
from repic.errors import DataError
from repic.models.vlm import captioners
from repic.models.vlm.captioners import TransformersCaptioner
from repic.objectives import rows
from repic.objectives.base import Row
from repic.refresh.promotion import Comparison
from repic.rewards.held_out import RESAMPLES
from repic.rewards.scoring import score
from repic.train.plan import Watch
from storage.manifest import Manifest
from storage.store import Store

OBJECTIVES = ("oct", "vlt")

Rewards = dict[str, np.ndarray[Any, Any]]
"""Objective -> rewards of its rows, in their order."""


def chosen(store: Store, examples: Manifest, split: str, count: int, watch: Watch) -> list[Row]:
    """Rows of both objectives, drawn by id; none, with a word, where the split has none."""
    try:
        table = rows.read(store, examples, split)
    except DataError as error:
        watch.say(f"OCT and VLT are not guarded: {error}")
        return []
    return [row for row in rows.balanced(table, count) if row["objective"] in OBJECTIVES]


def rewards(model: str, asked: Evaluation, store: Store, held_out: Sequence[Row]) -> Rewards:
    """Rewards of a checkpoint's greedy answers, by transformers whoever writes captions.

    Raises: as `repic.models.vlm.captioners.load`.
    """
    captioner = captioners.load(model, asked.model_copy(update={"backend": "transformers"}), store)
    assert isinstance(captioner, TransformersCaptioner)
    found: dict[str, list[float]] = {}
    for start in range(0, len(held_out), asked.batch_size):
        batch = held_out[start : start + asked.batch_size]
        for row, text in zip(batch, captioner.captions(batch), strict=True):
            total = score(text, row, convention=captioner.convention).total
            found.setdefault(row["objective"], []).append(total)
    return {objective: np.array(values) for objective, values in found.items()}


def compare(
    objective: str, production: Rewards, candidate: Rewards, margin: float
) -> Comparison | None:
    """Both on the same rows, which are compared with themselves; None where there are none."""
    after = candidate.get(objective)
    if after is None:
        return None
    before = production.get(objective)
    if before is None:
        return Comparison(objective, None, float(after.mean()), margin=margin, n=len(after))
    gains = after - before
    draw = np.random.default_rng(0).integers(0, len(gains), (RESAMPLES, len(gains)))
    low, high = np.quantile(gains[draw].mean(axis=1), [0.025, 0.975])
    return Comparison(
        objective,
        float(before.mean()),
        float(after.mean()),
        float(gains.mean()),
        float(low),
        float(high),
        margin,
        n=len(gains),
    )

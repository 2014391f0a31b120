"""How hard rows are, by what earlier rollouts earned, and which are left out for it.

Where all answers of a group score alike there is no advantage and nothing is learned: a row that
was always right, or never, costs as much as any other. Of such rows a share is kept, since a model
that forgets, or one that has become better, makes them worth asking again.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

import pyarrow as pa

from repic.config.train import Difficulty, Training
from repic.objectives.base import seed_of
from repic.train.rollouts import NAME
from storage.store import Store

Level = Literal["easy", "middle", "hard", "unknown"]


def exact(settings: Training, store: Store) -> Training:
    """The same settings with the exact version of the rollouts, so that they decide a run.

    Raises:
        storage.errors.StoreError: there is no such version.
    """
    asked = settings.train.difficulty.rollouts
    if asked is None:
        return settings
    found = store.resolve(asked if "@" in asked else f"{NAME}@{asked}")
    changed = settings.train.difficulty.model_copy(update={"rollouts": str(found)})
    return settings.model_copy(
        update={"train": settings.train.model_copy(update={"difficulty": changed})}
    )


def levels(rollouts: pa.Table, settings: Difficulty) -> dict[str, Level]:
    """Example -> its level, for those with at least `settings.answers` answers that were scored."""
    scored = rollouts.select(["example_id", "reward"])
    found = scored.group_by("example_id").aggregate([("reward", "mean"), ("reward", "count")])
    return {
        row["example_id"]: _level(row["reward_mean"], settings)
        for row in found.to_pylist()
        if row["reward_count"] >= settings.answers
    }


def _level(mean: float, settings: Difficulty) -> Level:
    if mean >= settings.easy:
        return "easy"
    return "hard" if mean <= settings.hard else "middle"


def thinned(
    rows: pa.Table, known: dict[str, Level], settings: Difficulty
) -> tuple[pa.Table, dict[Level, dict[str, int]]]:
    """Rows without most of those that are too easy or too hard, and how many there were and are.

    Which of them stay is drawn by id alone, so that it hardly changes from night to night.
    """
    keep = {"easy": settings.keep_easy, "hard": settings.keep_hard}
    ids = rows["example_id"].to_pylist()
    found = [known.get(name, "unknown") for name in ids]
    places = [
        place
        for place, (name, level) in enumerate(zip(ids, found, strict=True))
        if level not in keep or seed_of("difficulty", name) < keep[level] * 2**63
    ]
    kept = Counter(found[place] for place in places)
    counts = {
        level: {"rows": n, "kept": kept[level]} for level, n in sorted(Counter(found).items())
    }
    return rows.take(pa.array(places, pa.int64())), counts


def applied(
    store: Store, rows: pa.Table, settings: Difficulty
) -> tuple[pa.Table, dict[Level, dict[str, int]]]:
    """Rows as the settings want them; all of them, and no counts, without rollouts.

    Raises:
        storage.errors.StoreError: there are no such rollouts.
    """
    if settings.rollouts is None:
        return rows, {}
    rollouts = store.read(settings.rollouts, ["example_id", "reward"])
    return thinned(rows, levels(rollouts, settings), settings)

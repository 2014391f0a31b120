"""Rollouts: every answer of a run, written while it trains and published as one version.

Earlier rollouts also say how difficult rows are, and which rows a new run leaves out. A group whose
answers all score alike has no advantage, so a row that is always or never answered right teaches
nothing. A share of such rows is kept: a model that forgets or improves learns from them again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa

from repic.config import DifficultySettings, Settings
from repic.objectives.base import seed_of
from repic.tables import TABLES
from storage.manifest import ArtifactRef, Manifest
from storage.parts import Part
from storage.store import Store

NAME = "rollouts"

Level = Literal["easy", "middle", "hard", "unknown"]


class Rollouts:
    """The answers of one run, in parts by step.

    A killed run leaves parts of steps after its last checkpoint, which the next attempt repeats;
    the last attempt at a step counts.

    Attributes:
        steps: Steps whose answers are kept. Not every step samples: TRL may reuse answers.
    """

    def __init__(self, store: Store, recipe: str) -> None:
        """
        Args:
            recipe: Fingerprint of the run.
        """
        self.store = store
        self.recipe = recipe
        parts = store.parts(NAME, recipe)
        self.attempt = 1 + max((_attempt(part.note) for part in parts), default=0)
        self.steps = {int(part.covers[0]) for part in parts}

    def add(self, step: int, records: Sequence[dict[str, Any]], generations: int) -> None:
        """Keep the answers of a step durably.

        Args:
            records: Of all processes, in order: groups of `generations`.

        Raises:
            storage.errors.StoreError: they cannot be written.
        """
        rows = [
            {
                **record,
                "step": step,
                "group": index // generations,
                "sample": index % generations,
                "components": sorted(record["components"].items()),
            }
            for index, record in enumerate(records)
        ]
        self.store.write_part(
            NAME,
            TABLES[NAME].table(rows),
            recipe=self.recipe,
            covers=[str(step)],
            note=json.dumps({"attempt": self.attempt}),
        )
        self.steps.add(step)

    def parts(self) -> dict[int, Part]:
        """Step -> its answers, of the last attempt at it."""
        latest: dict[int, Part] = {}
        for part in self.store.parts(NAME, self.recipe):
            step = int(part.covers[0])
            other = latest.get(step)
            if other is None or _attempt(other.note) < _attempt(part.note):
                latest[step] = part
        return latest

    def table(self, last: int) -> pa.Table:
        """The answers of all steps up to the last one, each step once."""
        parts = self.parts()
        tables = [self.store.read_part(parts[step]) for step in sorted(parts) if step <= last]
        return TABLES[NAME].check(pa.concat_tables(tables)) if tables else TABLES[NAME].empty()


def _attempt(note: str) -> int:
    return int(json.loads(note)["attempt"])


def rollouts_of(checkpoint: Manifest) -> ArtifactRef | None:
    """The rollouts of a checkpoint's own run; None if its method samples nothing.

    A checkpoint's inputs also include the rollouts that selected its rows.
    """
    inputs = (i for i in checkpoint.inputs if i.name == NAME)
    return next((i.ref for i in inputs if i.fingerprint == checkpoint.fingerprint), None)


def pin_version(settings: Settings, store: Store) -> Settings:
    """The settings with the exact version of `train.difficulty.rollouts`, for the fingerprint.

    Raises:
        storage.errors.StoreError: there is no such version.
    """
    version = settings.train.difficulty.rollouts
    if version is None:
        return settings
    exact = store.resolve(version if "@" in version else f"{NAME}@{version}")
    difficulty = settings.train.difficulty.model_copy(update={"rollouts": str(exact)})
    return settings.model_copy(
        update={"train": settings.train.model_copy(update={"difficulty": difficulty})}
    )


def difficulty_levels(rollouts: pa.Table, settings: DifficultySettings) -> dict[str, Level]:
    """Level by example id, of examples with at least `settings.answers` scored answers."""
    scored = rollouts.select(["example_id", "reward"])
    means = scored.group_by("example_id").aggregate([("reward", "mean"), ("reward", "count")])
    return {
        row["example_id"]: _level(row["reward_mean"], settings)
        for row in means.to_pylist()
        if row["reward_count"] >= settings.answers
    }


def _level(mean: float, settings: DifficultySettings) -> Level:
    if mean >= settings.easy:
        return "easy"
    return "hard" if mean <= settings.hard else "middle"


def thin_out(
    rows: pa.Table, levels: dict[str, Level], settings: DifficultySettings
) -> tuple[pa.Table, dict[Level, dict[str, int]]]:
    """Rows without most of the too easy and too hard ones, and row counts by level.

    The rows to keep are drawn by id alone, so that the selection hardly changes between runs.
    """
    keep = {"easy": settings.keep_easy, "hard": settings.keep_hard}
    ids = rows["example_id"].to_pylist()
    row_levels = [levels.get(example_id, "unknown") for example_id in ids]
    indices = [
        index
        for index, (example_id, level) in enumerate(zip(ids, row_levels, strict=True))
        if level not in keep or seed_of("difficulty", example_id) < keep[level] * 2**63
    ]
    kept = Counter(row_levels[index] for index in indices)
    counts = {
        level: {"rows": n, "kept": kept[level]} for level, n in sorted(Counter(row_levels).items())
    }
    return rows.take(pa.array(indices, pa.int64())), counts


def select_by_difficulty(
    store: Store, rows: pa.Table, settings: DifficultySettings
) -> tuple[pa.Table, dict[Level, dict[str, int]]]:
    """`thin_out` by the rollouts of the settings; all rows and no counts if they name none.

    Raises:
        storage.errors.StoreError: there are no such rollouts.
    """
    if settings.rollouts is None:
        return rows, {}
    rollouts = store.read(settings.rollouts, ["example_id", "reward"])
    return thin_out(rows, difficulty_levels(rollouts, settings), settings)

"""Rollouts: every answer of a run, written while it trains, one version when it ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from repic.tables import TABLES
from storage.manifest import ArtifactRef, Manifest
from storage.store import Store

NAME = "rollouts"


class Rollouts:
    """The answers of one run, in parts by step.

    A run that was killed leaves parts of steps that the next attempt takes again, from its last
    checkpoint; of each step the last attempt counts.

    Attributes:
        steps: Those whose answers are kept. Not every step samples: TRL may use answers again.
    """

    def __init__(self, store: Store, recipe: str) -> None:
        """
        Args:
            recipe: Fingerprint of the run.
        """
        self.store = store
        self.recipe = recipe
        found = store.parts(NAME, recipe)
        self.attempt = 1 + max((_attempt(part.note) for part in found), default=0)
        self.steps = {int(part.covers[0]) for part in found}

    def add(self, step: int, records: Sequence[dict[str, Any]], generations: int) -> None:
        """Keep the answers of a step, durably.

        Args:
            records: Of all ranks, in order: groups of `generations`.

        Raises:
            storage.errors.StoreError: they cannot be written.
        """
        rows = [
            {
                **record,
                "step": step,
                "group": place // generations,
                "sample": place % generations,
                "components": sorted(record["components"].items()),
            }
            for place, record in enumerate(records)
        ]
        self.store.write_part(
            NAME,
            TABLES[NAME].table(rows),
            recipe=self.recipe,
            covers=[str(step)],
            note=json.dumps({"attempt": self.attempt}),
        )
        self.steps.add(step)

    def table(self, last: int) -> pa.Table:
        """The answers of all steps up to the last one, each step once."""
        best: dict[int, Any] = {}
        for part in self.store.parts(NAME, self.recipe):
            step = int(part.covers[0])
            known = best.get(step)
            if step <= last and (known is None or _attempt(known.note) < _attempt(part.note)):
                best[step] = part
        tables = [self.store.read_part(best[step]) for step in sorted(best)]
        return TABLES[NAME].check(pa.concat_tables(tables)) if tables else TABLES[NAME].empty()


def of(checkpoint: Manifest) -> ArtifactRef | None:
    """The answers that a checkpoint's own run sampled; None if its method samples none.

    The rollouts by which its rows were chosen are among its inputs as well.
    """
    found = (i for i in checkpoint.inputs if i.name == NAME)
    return next((i.ref for i in found if i.fingerprint == checkpoint.fingerprint), None)


def _attempt(note: str) -> int:
    return int(json.loads(note)["attempt"])

"""Decisions of the people who look at pairs, written to the versioned table `reviews`.

A decision is answered when it is published, so that what the page shows as saved is saved. Those
that arrive while a version is written go into the next one together.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Lock

from repic.pipeline import reviews
from repic.pipeline.reviews import DISPUTED, Decision
from storage.manifest import ArtifactRef
from storage.store import Store

log = logging.getLogger(__name__)


class DecisionLog:
    """The latest decisions on pairs, and the way to add to them. Threads may share one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Decision, Future[None]]] = []
        self._arriving, self._writing, self._reading = Lock(), Lock(), Lock()
        self._read: tuple[int | None, Mapping[str, Mapping[str, Decision]]] = (None, {})

    def decide(self, decision: Decision) -> None:
        """Publish a decision, or withdraw one; returns when it is durable.

        Raises:
            repic.errors.SchemaError: a value is invalid.
            storage.errors.StoreError: the store cannot be written; nothing is decided.
        """
        done: Future[None] = Future()
        with self._arriving:
            self._waiting.append((decision, done))
        with self._writing:
            with self._arriving:
                batch, self._waiting = self._waiting, []
            if batch:
                self._publish(batch)
        done.result()

    def _publish(self, batch: list[tuple[Decision, Future[None]]]) -> None:
        try:
            reviews.record(self._store, [decision for decision, _ in batch])
        except BaseException as error:
            for _, done in batch:
                done.set_exception(error)
        else:
            for _, done in batch:
                done.set_result(None)

    def of_pairs(self) -> Mapping[str, Mapping[str, Decision]]:
        """Pair id -> reviewer -> the latest decision.

        Raises:
            storage.errors.StoreError: the store cannot be read.
        """
        latest = self._store.current().of("reviews").latest
        with self._reading:
            if self._read[0] != latest:
                self._read = latest, self._by_pair(latest)
            return self._read[1]

    def _by_pair(self, version: int | None) -> Mapping[str, Mapping[str, Decision]]:
        found: dict[str, dict[str, Decision]] = {}
        if version:
            for row in self._store.read(ArtifactRef.exact("reviews", version)).to_pylist():
                if row["subject"] == "pair":
                    found.setdefault(row["subject_id"], {})[row["reviewer"]] = row
        return found


def standing(decided: Mapping[str, Decision]) -> str:
    """accept, reject, unsure or disputed: what reviewers say of a pair; empty if nobody looked."""
    every = {row["decision"] for row in decided.values()}
    sure = every - {"unsure"}
    if len(sure) > 1:
        return DISPUTED
    return min(sure or every, default="")

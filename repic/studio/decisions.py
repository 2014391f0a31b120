"""Decisions of the people who look, written to the versioned table `reviews`.

A decision is answered when it is published, so that what the page shows as saved is saved. Those
that arrive while a version is written go into the next one together. What is known of the table is
kept: a version is read only if another process wrote it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from cachetools import LRUCache

from repic.pipeline import reviews
from repic.pipeline.reviews import DISPUTED, Decided, Decision, Key
from repic.studio.earlier_steps import earlier_steps
from storage.store import Store

UNDONE = 500
"""Steps that a reviewer can take back."""

REVIEWERS = 1000
"""Reviewers whose steps are known."""

ByReviewer = Mapping[str, Decision]
"""Reviewer -> decision on one subject."""

Change = Mapping[str, Any]
"""A decision, or without a `decision` its withdrawal."""


@dataclass(frozen=True)
class _Waiting:
    """Changes that wait to be published together, and what to do then."""

    changes: Sequence[Change]
    undoes: bool
    done: Future[None] = field(default_factory=Future)


class DecisionLog:
    """The latest decisions, and the way to add to them and to take them back.

    Threads may share one.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._arriving, self._writing, self._reading = Lock(), Lock(), Lock()
        self._known = Decided()
        self._by_subject: dict[str, dict[str, ByReviewer]] = {}
        # Reviewer -> the changes that would take each of their steps back.
        self._steps: LRUCache[str, deque[Sequence[Change]]] = LRUCache(REVIEWERS)
        # Reviewers whose steps before this studio are in `_steps`, or taken back.
        self._looked_back: LRUCache[str, bool] = LRUCache(REVIEWERS)

    def decide(self, changes: Iterable[Change], *, undoes: bool = False) -> None:
        """Publish decisions of a reviewer, or withdraw them; returns when all are durable.

        Raises:
            repic.errors.SchemaError: a value is invalid; nothing is decided.
            storage.errors.StoreError: the store cannot be written; nothing is decided.
        """
        mine = _Waiting(tuple(changes), undoes)
        for change in mine.changes:
            if change["decision"]:
                reviews.checked(change, "This decision")  # spoils no other one's batch
        with self._arriving:
            self._waiting.append(mine)
        with self._writing:
            with self._arriving:
                batch, self._waiting = self._waiting, []
            if batch:
                self._publish(batch)
        mine.done.result()

    def undo(self, reviewer: str) -> Sequence[Change]:
        """Take a reviewer's last step back; returns what is decided now, empty if there is none.

        Raises:
            storage.errors.StoreError: the store cannot be read or written; the step stays.
        """
        with self._reading:
            steps = self._steps.setdefault(reviewer, deque(maxlen=UNDONE))
            if not steps and reviewer not in self._looked_back:
                steps.extend(earlier_steps(self._store, reviewer))
                self._looked_back[reviewer] = True
            changes = steps.pop() if steps else ()
        if changes:
            try:
                self.decide(changes, undoes=True)
            except BaseException:
                with self._reading:
                    steps.append(changes)  # the next try must not take back the step before it
                raise
        return changes

    def of(self, subject: str) -> Mapping[str, ByReviewer]:
        """Subject id -> reviewer -> the latest decision, of pairs, boxes or identities.

        Raises:
            storage.errors.StoreError: the store cannot be read.
        """
        with self._reading:
            known = reviews.current(self._store, self._known)
            if known is not self._known:
                self._keep(known)
            return self._by_subject.get(subject, {})

    def of_photo(self, subject: str, image_id: str) -> Mapping[str, ByReviewer]:
        """As `of`, of the boxes of one photo."""
        start = f"{image_id}:"
        return {id_: said for id_, said in self.of(subject).items() if id_.startswith(start)}

    def _publish(self, batch: list[_Waiting]) -> None:
        try:
            before = reviews.current(self._store, self._known)
            changes = [change for each in batch for change in each.changes]
            _, after = reviews.add(self._store, changes, before)
        except BaseException as error:
            for each in batch:
                each.done.set_exception(error)
            return
        with self._reading:
            self._keep(after)
            self._remember(batch, before)
        for each in batch:
            each.done.set_result(None)

    def _keep(self, known: Decided) -> None:
        """Take over a version; rows that are the same object as before are not looked at."""
        before, after = self._known.rows, known.rows
        changed = [
            key for key in before.keys() | after.keys() if before.get(key) is not after.get(key)
        ]
        found = dict(self._by_subject)
        for subject in {key[0] for key in changed}:
            found[subject] = dict(found.get(subject, {}))
        for subject, subject_id, reviewer in changed:
            said = dict(found[subject].get(subject_id, {}))
            said.pop(reviewer, None)
            if row := after.get((subject, subject_id, reviewer)):
                said[reviewer] = row
            found[subject][subject_id] = said
            if not said:
                del found[subject][subject_id]
        self._known, self._by_subject = known, found

    def _remember(self, batch: Iterable[_Waiting], before: Decided) -> None:
        """Note how each step can be taken back."""
        now: dict[Key, Decision | None] = {}
        for each in batch:
            back: list[Change] = []
            for change in each.changes:
                key = reviews.key_of(change)
                earlier = now[key] if key in now else before.rows.get(key)
                back.append(earlier or {**change, "decision": ""})
                now[key] = dict(change) if change["decision"] else None
            if back and not each.undoes:
                steps = self._steps.setdefault(back[0]["reviewer"], deque(maxlen=UNDONE))
                steps.append(tuple(reversed(back)))


def standing(decided: ByReviewer) -> str:
    """accept, reject, unsure or disputed: what reviewers say of a pair; empty if nobody looked."""
    every = {row["decision"] for row in decided.values()}
    sure = every - {"unsure"}
    if len(sure) > 1:
        return DISPUTED
    return min(sure or every, default="")

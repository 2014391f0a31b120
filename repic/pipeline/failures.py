"""Builds that ended in an error: the newest few, in the store until a later one succeeds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from uuid import uuid4

from storage.errors import StoreError
from storage.manifest import Run
from storage.store import Store

FOLDER = "failures"
KEPT = 5
"""How many are kept."""
LONGEST = 2_000
"""Characters of a message that are kept."""


@dataclass(frozen=True)
class Failure:
    """A build that made nothing.

    Attributes:
        error: Class of what was raised.
        message: What it said.
        by: user@host.
        flow_run: Prefect's id of the run, if it was one.
    """

    when: datetime
    error: str
    message: str
    by: str
    flow_run: str | None


@contextmanager
def noted(store: Store, run: Run) -> Iterator[None]:
    """Put down an error that ends a build; it goes on its way. An interruption is none."""
    try:
        yield
    except Exception as error:
        with suppress(StoreError, OSError):  # what was wrong is told all the same
            _put(store, error, run)
        raise


def find(store: Store) -> list[Failure]:
    """Builds that failed since the last one that did not, the newest first."""
    found = []
    for path in sorted(store.files.find(FOLDER), reverse=True):
        with suppress(FileNotFoundError):  # superseded while we look
            told = json.loads(store.files.read(path))
            found.append(Failure(**{**told, "when": datetime.fromisoformat(told["when"])}))
    return found


def clear(store: Store) -> None:
    """A build succeeded: what failed before is over.

    Raises:
        storage.errors.StoreError: no permission.
    """
    for path in store.files.find(FOLDER):
        store.files.remove(path)


def _put(store: Store, error: Exception, run: Run) -> None:
    now = datetime.now(UTC)
    by, message = f"{run.user}@{run.host}", str(error)[:LONGEST]
    failure = Failure(now, type(error).__name__, message, by, run.flow_run)
    told = {**asdict(failure), "when": now.isoformat()}
    name = f"{FOLDER}/{now:%Y%m%dT%H%M%S.%f}-{uuid4().hex[:8]}.json"
    store.files.create(name, json.dumps(told, ensure_ascii=False).encode())
    for path in sorted(store.files.find(FOLDER))[:-KEPT]:
        store.files.remove(path)

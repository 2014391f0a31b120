"""The most recent failed builds, recorded in the store until a build succeeds."""

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
MAX_FAILURES = 5
"""Number of failures that are kept."""
MAX_MESSAGE = 2_000
"""Longer messages are cut to this many characters."""


@dataclass(frozen=True)
class Failure:
    """A failed build.

    Attributes:
        error: Class name of the exception.
        message: Text of the exception.
        by: user@host.
        flow_run: Prefect's id of the flow run, if any.
    """

    when: datetime
    error: str
    message: str
    by: str
    flow_run: str | None


@contextmanager
def recorded(store: Store, run: Run) -> Iterator[None]:
    """Record an exception of the block in the store and re-raise it; not a KeyboardInterrupt."""
    try:
        yield
    except Exception as error:
        with suppress(StoreError, OSError):  # must not hide the original error
            _write(store, error, run)
        raise


def find(store: Store) -> list[Failure]:
    """Builds that failed since the last successful one, newest first."""
    failures = []
    for path in sorted(store.files.find(FOLDER), reverse=True):
        with suppress(FileNotFoundError):  # removed by another process
            record = json.loads(store.files.read(path))
            failures.append(Failure(**{**record, "when": datetime.fromisoformat(record["when"])}))
    return failures


def clear(store: Store) -> None:
    """Remove all recorded failures, after a build succeeded.

    Raises:
        storage.errors.StoreError: no permission.
    """
    for path in store.files.find(FOLDER):
        store.files.remove(path)


def _write(store: Store, error: Exception, run: Run) -> None:
    now = datetime.now(UTC)
    by, message = f"{run.user}@{run.host}", str(error)[:MAX_MESSAGE]
    failure = Failure(now, type(error).__name__, message, by, run.flow_run)
    record = {**asdict(failure), "when": now.isoformat()}
    name = f"{FOLDER}/{now:%Y%m%dT%H%M%S.%f}-{uuid4().hex[:8]}.json"
    store.files.create(name, json.dumps(record, ensure_ascii=False).encode())
    for path in sorted(store.files.find(FOLDER))[:-MAX_FAILURES]:
        store.files.remove(path)

"""Builds, trainings and evaluations that failed, recorded in the store until one succeeds."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

from storage.errors import StoreError
from storage.manifest import Run
from storage.store import Store

log = logging.getLogger(__name__)

FOLDER = "failures"
Work = Literal["build", "train", "evaluate"]
MAX_FAILURES = 5
"""Number of failures of one kind of work that are kept."""
MAX_MESSAGE = 2_000
"""Longer messages are cut to this many characters."""


@dataclass(frozen=True)
class Failure:
    """A failed build, training or evaluation.

    Attributes:
        error: Class name of the exception.
        message: Text of the exception.
        by: user@host.
        flow_run: Prefect's id of the flow run, if any.
        work: What failed.
    """

    when: datetime
    error: str
    message: str
    by: str
    flow_run: str | None
    work: Work = "build"


@contextmanager
def recorded(store: Store, run: Run, work: Work = "build") -> Iterator[None]:
    """Record an exception of the block in the store and re-raise it; not a KeyboardInterrupt."""
    try:
        yield
    except Exception as error:
        with suppress(StoreError, OSError):  # must not hide the original error
            record(store, error, run, work)
        raise


def find(store: Store) -> list[Failure]:
    """What failed since the last success of its kind, newest first; other files are left out."""
    failures = []
    for path in sorted(store.files.find(FOLDER), reverse=True):
        try:
            record = json.loads(store.files.read(path))
            failures.append(Failure(**{**record, "when": datetime.fromisoformat(record["when"])}))
        except FileNotFoundError:  # removed by another process
            continue
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            log.warning("ignoring %s, which records no failure: %s", store.files.full(path), error)
    return failures


def clear(store: Store, work: Work = "build") -> None:
    """Remove the recorded failures of a kind of work, after it succeeded.

    Raises:
        storage.errors.StoreError: no permission.
    """
    for path in _of(store, work):
        store.files.remove(path)


def _of(store: Store, work: Work) -> list[str]:
    """Files about a kind of work, oldest first; without a kind in its name, one is of a build."""
    ending = "" if work == "build" else f"-{work}"
    named = re.compile(rf"[^-]+-[0-9a-f]+{ending}\.json")
    return sorted(p for p in store.files.find(FOLDER) if named.fullmatch(p.rpartition("/")[2]))


def record(store: Store, error: Exception, run: Run, work: Work) -> None:
    """Keep the reason of a failure until the next success of its kind.

    Raises:
        storage.errors.StoreError: the store cannot be written.
    """
    now = datetime.now(UTC)
    by, message = f"{run.user}@{run.host}", str(error)[:MAX_MESSAGE]
    failure = Failure(now, type(error).__name__, message, by, run.flow_run, work)
    content = {**asdict(failure), "when": now.isoformat()}
    ending = "" if work == "build" else f"-{work}"
    name = f"{FOLDER}/{now:%Y%m%dT%H%M%S.%f}-{uuid4().hex[:8]}{ending}.json"
    store.files.create(name, json.dumps(content, ensure_ascii=False).encode())
    for path in _of(store, work)[:-MAX_FAILURES]:
        store.files.remove(path)

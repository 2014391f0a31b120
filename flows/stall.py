"""Runs that no longer advance end, and leave their reason in the store and at the server.

Whatever hangs, as a network drive or a driver, often cannot be interrupted. So a thread watches,
and ends the process. Finished work is in the store, as after any kill.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from threading import Event, Thread
from typing import Annotated

from prefect import runtime
from pydantic import Field

from repic.errors import StalledError
from repic.pipeline import catalog, failures
from repic.pipeline.failures import Work
from storage.manifest import Run

Hours = Annotated[float, Field(gt=0)]
"""Type of the parameter `stall_hours` of deployments."""

LONGEST = 6.0
"""Hours without progress, by default: longer than any shard, training step or caption takes."""

CHECKED_EVERY = 30.0
"""Seconds, at most."""

PATIENCE = 60.0
"""Seconds to leave the reason, since store and server may be what hangs."""

EXIT_CODE = 75
"""EX_TEMPFAIL: run it again."""


@dataclass
class _Progress:
    when: float = 0.0
    what: str = ""


_progress = _Progress()


def advanced(what: str) -> None:
    """Note that the run has done something; `what` continues "nothing has happened since ..."."""
    _progress.when, _progress.what = time.monotonic(), what


@contextmanager
def watched(store: str, work: Work, hours: float | None) -> Iterator[None]:
    """End the process if nothing has advanced for so long; None: never.

    Args:
        store: Location of the store, which gets the reason.
        hours: Of waking time; one in which the machine sleeps does not count.
    """
    if hours is None:
        yield
        return
    advanced("the start")
    over = Event()
    run = Run.here(runtime.flow_run.id)

    def watch() -> None:
        limit = hours * 3600
        while not over.wait(min(CHECKED_EVERY, limit / 4)):
            if time.monotonic() - _progress.when > limit:
                _end(store, work, run, hours)

    Thread(target=copy_context().run, args=(watch,), name="stall", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _end(store: str, work: Work, run: Run, hours: float) -> None:
    why = StalledError(
        f"ended, since nothing has happened for {hours:g} hours, since {_progress.what}: look "
        "whether the source, a server or a driver hangs, then run it again, which computes only "
        "what is missing; or give the run more time with the parameter stall_hours"
    )
    print(f"repic: {why}\nWhere it hangs:", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(sys.stderr)

    def leave_reason() -> None:
        with suppress(Exception):
            failures.record(catalog.open_store(store), why, run, work)

    def tell_server() -> None:
        with suppress(Exception):
            _fail_run(run.flow_run, str(why))

    _within(PATIENCE, leave_reason, tell_server)
    os._exit(EXIT_CODE)


def _within(seconds: float, *tasks: Callable[[], None]) -> None:
    """Do these at the same time, and wait at most so long for all of them."""
    threads = [Thread(target=copy_context().run, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _fail_run(flow_run: str | None, why: str) -> None:
    from uuid import UUID

    from prefect.client.orchestration import get_client
    from prefect.states import Failed

    if flow_run:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(flow_run), Failed(message=why), force=True)

"""Deployment `reward-workers`: starts reward workers, watches them, and starts them again.

One worker that dies or hangs is replaced by the service itself. Here the whole service is watched,
by asking it: if it does not answer, it is ended and started anew. The flow runs until it is
cancelled, or for so many hours; the workers end with it.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from pathlib import Path

from prefect import flow, get_run_logger

from flows.local.processes import ChildProcess, interruptible
from flows.local.server import prefect_home

EVERY = 5.0
"""Seconds between two looks."""
SILENT = 3
"""Looks without an answer after which the service counts as dead."""
START_TIMEOUT = 120.0
"""Seconds that it may take to answer for the first time."""


@flow(name="reward-workers", persist_result=False)
def reward_workers(
    workers: int = 2,
    host: str = "127.0.0.1",
    port: int = 8899,
    hours: float | None = None,
    store: str | None = None,
) -> int:
    """Serve rewards until the run is cancelled; gives how often the service was started.

    Args:
        workers: Processes that score.
        host: Address; one that other machines reach needs REPIC_REWARD_TOKEN in the environment of
            the Prefect worker.
        hours: End after so long; None: never.
        store: Where logs go, beside those of Prefect; by default REPIC_STORE, or repic-store.
    """
    log = get_run_logger()
    folder = prefect_home(store or os.environ.get("REPIC_STORE", "repic-store"))
    end = float("inf") if hours is None else time.monotonic() + hours * 3600
    starts = 0
    with interruptible():
        while time.monotonic() < end:
            starts += 1
            child = _started(workers, host, port, folder / f"reward-workers-{port}.log")
            log.info("reward workers start at http://%s:%d, for the %d. time", host, port, starts)
            try:
                why = _watched(child, port, end)
            finally:
                child.stop()
            if why:
                log.warning("reward workers: %s; %s", why, child.log_tail())
                time.sleep(1)
    return starts


def _started(workers: int, host: str, port: int, log: Path) -> ChildProcess:
    command = [sys.executable, "-m", "repic.cli", "reward", "serve"]
    options = [f"--workers={workers}", f"--host={host}", f"--port={port}"]
    return ChildProcess("reward service", [*command, *options], os.environ, log)


def _watched(child: ChildProcess, port: int, end: float) -> str | None:
    """Why the service has to be started again; None when the time is over."""
    silent, deadline = 0, time.monotonic() + START_TIMEOUT
    has_answered = False
    while time.monotonic() < end:
        if child.returncode is not None:
            return f"it ended with code {child.returncode}"
        if _answers(port):
            silent, has_answered = 0, True
        elif has_answered:
            silent += 1
        elif time.monotonic() > deadline:
            return f"it did not answer within {START_TIMEOUT:.0f} s"
        if silent >= SILENT:
            return f"it did not answer {SILENT} times"
        child.wait(min(EVERY if has_answered else 0.2, max(0.0, end - time.monotonic())))
    return None


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=EVERY) as reply:
            return bool(reply.status == 200)
    except (OSError, ValueError):
        return False

"""Deployment `reward-workers`: run reward workers, check their health, and restart them.

The service itself replaces a worker that dies or hangs. This flow checks the service as a whole and
restarts it when it stops answering. It runs until it is cancelled or `hours` have passed, and the
workers end with it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import httpx
from prefect import flow, get_run_logger
from pydantic import Field

from flows.common import check_parameters, in_home, store_location
from flows.local import home
from flows.local.processes import ChildProcess, ProcessExitedError, interruptible

CHECK_EVERY = 5.0
"""Seconds between health checks."""
MAX_FAILED_CHECKS = 3
"""Consecutive failed checks after which the service is restarted."""
START_TIMEOUT = 120.0
"""Seconds that the service may take until its first answer."""
MAX_SILENT_STARTS = 3
"""Consecutive starts without an answer after which the run fails, as by a wrong setting."""


class Problem(NamedTuple):
    """Why the service must be started again, and whether it had answered."""

    reason: str
    had_answered: bool


@flow(name="reward-workers", persist_result=False)
def reward_workers(
    workers: Annotated[int, Field(ge=1)] = 2,
    host: str = "127.0.0.1",
    port: Annotated[int, Field(ge=1, le=65535)] = 8899,
    hours: Annotated[float, Field(gt=0)] | None = None,
    store: str | None = None,
) -> int:
    """Serve rewards until the run is cancelled.

    A relative path of a store starts at REPIC_HOME, the folder of `repic up`.

    Args:
        workers: Number of scoring processes.
        host: Address to listen on. An address that other machines can reach requires
            REPIC_REWARD_TOKEN in the environment of the Prefect worker.
        port: Port to listen on.
        hours: End after this time. Default: run until cancelled.
        store: The log is beside Prefect's files of this store. Default: REPIC_STORE, else
            `repic-store`.

    Returns:
        Number of starts of the service.

    Raises:
        ProcessExitedError: the service never answered in three starts; its log says why.
    """
    log = get_run_logger()
    check_parameters()
    folder = _folder(store)
    end = float("inf") if hours is None else time.monotonic() + hours * 3600
    starts = silent = 0
    with interruptible():
        while time.monotonic() < end:
            starts += 1
            child = _start(workers, host, port, folder / f"reward-workers-{port}.log")
            log.info("Starting reward workers at http://%s:%d (start %d)", host, port, starts)
            try:
                problem = _watch(child, host, port, end)
            finally:
                child.stop()
            if problem:
                silent = 0 if problem.had_answered else silent + 1
                why = f"{problem.reason}. {child.log_tail()}"
                if silent == MAX_SILENT_STARTS:
                    raise ProcessExitedError(f"No answer in {silent} starts: {why}")
                log.warning("Reward workers: %s", why)
                time.sleep(1)
    return starts


def _folder(store: str | None) -> Path:
    """Where the log is."""
    with in_home():
        return home.prepare(store_location(store))


def _start(workers: int, host: str, port: int, log: Path) -> ChildProcess:
    command = [sys.executable, "-m", "repic.cli", "reward", "serve"]
    options = [f"--workers={workers}", f"--host={host}", f"--port={port}"]
    return ChildProcess("reward service", [*command, *options], os.environ, log)


def _watch(child: ChildProcess, host: str, port: int, end: float) -> Problem | None:
    """Check the service until `end`; None then, or earlier the reason for a restart."""
    failed, deadline = 0, time.monotonic() + START_TIMEOUT
    has_answered = False
    while time.monotonic() < end:
        if child.returncode is not None:
            return Problem(f"the service ended with code {child.returncode}", has_answered)
        if _answers(host, port):
            failed, has_answered = 0, True
        elif has_answered:
            failed += 1
        elif time.monotonic() > deadline:
            return Problem(f"the service did not answer within {START_TIMEOUT:.0f} s", False)
        if failed >= MAX_FAILED_CHECKS:
            return Problem(f"the service failed {MAX_FAILED_CHECKS} checks in a row", True)
        child.wait(min(CHECK_EVERY if has_answered else 0.2, max(0.0, end - time.monotonic())))
    return None


def _answers(host: str, port: int) -> bool:
    # A service at every address of this machine answers at that of loopback too.
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))
    url = httpx.URL(scheme="http", host=name, port=port, path="/healthz")
    try:
        return httpx.get(url, timeout=CHECK_EVERY).is_success
    except httpx.HTTPError:
        return False

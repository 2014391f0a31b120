"""What the deployments share: paths, retries, and progress in the log of a flow run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, chdir, contextmanager
from typing import Any, TypeVar, cast

import httpx
from prefect import get_run_logger, runtime
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task
from prefect.utilities.annotations import quote

from flows import stall
from flows.local.problems import RESTARTING
from flows.parameters import check_given
from repic.errors import FIXABLE

LOGGED_EVERY = 10
"""Training steps per line of the log."""

PASSING = (OSError, EOFError, MemoryError, httpx.TransportError)

OUT_OF_GPU_MEMORY = "OutOfMemoryError"
"""Torch's, which is not imported for it."""

T = TypeVar("T")


def is_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether to retry: only after what may pass, as a disk, a network or memory that was short.

    Not after an error that the user must fix, or one of code (also that of a plug-in), which comes
    again. A server of captions or of the store that does not answer may be restarting.
    """
    error = state.data
    if isinstance(error, FIXABLE):
        return isinstance(error, RESTARTING)
    return isinstance(error, PASSING) or type(error).__name__ == OUT_OF_GPU_MEMORY


TASK_OPTIONS: dict[str, Any] = {
    "retry_condition_fn": is_transient,
    "persist_result": False,  # results are in the store, where the next run finds them
    "cache_policy": NO_CACHE,
}
"""Options of every task; each flow adds its number of retries."""

ONE_RETRY: dict[str, Any] = {**TASK_OPTIONS, "retries": 1, "retry_delay_seconds": 30}
"""Options of a task that resumes from what the interrupted attempt left in the store."""


@contextmanager
def page_of_run() -> Iterator[None]:
    """Store the page of a run; a page that cannot be stored is no reason to fail the run."""
    try:
        yield
    except httpx.HTTPError as error:
        get_run_logger().warning("The page of this run could not be stored: %s", error)


def check_parameters() -> None:
    """Refuse an empty parameter of the running flow. Raises: ConfigError."""
    check_given(runtime.flow_run.parameters)


def in_home() -> AbstractContextManager[None]:
    """Work in REPIC_HOME, where relative paths start; Prefect runs a flow in a temporary folder."""
    return chdir(os.environ.get("REPIC_HOME", os.curdir))


def store_location(store: str | None) -> str:
    """URL or absolute path of the store, which means the same on every worker.

    Args:
        store: By default REPIC_STORE, or `repic-store` in the working directory.
    """
    location = store or os.environ.get("REPIC_STORE") or "repic-store"
    return location if "://" in location else os.path.abspath(os.path.expanduser(location))


def opaque(value: T) -> T:
    """A task parameter that Prefect does not search for futures: ours are large and hold none."""
    return cast(T, quote(value))


class RunLog:
    """Progress callbacks that write to the log of the flow run."""

    def __init__(self) -> None:
        self._log = get_run_logger()

    def phase(self, name: str, total: int) -> None:
        """A phase of `total` parts begins."""
        self._log.info("%s: %d", name, total)
        stall.advanced(f"the phase {name} began")

    def advance(self, count: int = 1) -> None:
        """Parts of the phase are done; not logged."""
        stall.advanced("the last part of a phase")

    def step(self, number: int, logs: dict[str, Any]) -> None:
        """The trainer logged a step."""
        stall.advanced(f"step {number}")
        if number % LOGGED_EVERY == 0:
            self._log.info("step %d: reward %s, kl %s", number, logs.get("reward"), logs.get("kl"))

    def message(self, text: str) -> None:
        """A remark for the user."""
        self._log.info("%s", text)
        stall.advanced(f"the remark {text!r:.80}")

"""Flow runs whose process has ended without a word: they become `Crashed`.

A process that is killed cannot report its end, and Prefect would show its run as running for ever.
A process that runs a flow itself (`repic build --prefect`) holds the lock of a file in the folder
`running` of PREFECT_HOME, named after the run: a file without a lock is a run that has ended. Runs
of the work pool end with `repic up`, so a process that holds its lock knows that they have ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.local.files import locked

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]


class _Hold:
    """Hook of a flow: holds the lock of a file as long as this process is alive.

    Prefect sends the flow to the workers of a cluster; what they get of this holds nothing.
    """

    def __init__(self, folder: Path | None = None, locks: ExitStack | None = None) -> None:
        self.__name__ = "hold"  # Prefect logs the names of hooks
        self.paths: list[Path] = []
        self._folder = folder
        self._locks = locks

    def __reduce__(self) -> tuple[type[_Hold], tuple[()]]:
        return _Hold, ()

    def __call__(self, flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
        if self._folder is None or self._locks is None:
            return
        path = _folder(self._folder) / str(flow_run.id)
        if path not in self.paths:  # a retry of the flow runs again
            self.paths.append(path)
            self._locks.enter_context(locked(path))


@contextmanager
def of_this_process(folder: Path, flow: Flow[..., Any]) -> Iterator[Flow[..., Any]]:
    """The flow, whose runs are known to be alive as long as this process is."""
    with ExitStack() as locks:
        hold = _Hold(folder, locks)
        yield flow.with_options(on_running=[hold])
        # After an error the server may not know the end of the run, so the file stays.
        for path in hold.paths:
            path.unlink(missing_ok=True)


def crash_ended(client: SyncPrefectClient, folder: Path) -> None:
    """Mark the runs of processes that could not report their end as crashed."""
    for path in _folder(folder).glob("*-*-*-*-*"):  # a UUID; a desktop may add files of its own
        with locked(path, wait=False) as file:
            if file:
                _crash(client, {"id": {"any_": [path.name]}}, "Its process has ended")
                path.unlink(missing_ok=True)


def crash_pool(client: SyncPrefectClient, pool: str) -> None:
    """Mark the unfinished runs of a work pool as crashed; call it while no worker runs."""
    _crash(client, {}, "It ended with the `repic up` that ran it", pool=pool)


def _crash(
    client: SyncPrefectClient, chosen: dict[str, Any], why: str, pool: str | None = None
) -> None:
    """Mark unfinished runs, and those that they started, as crashed."""
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    of_pool = WorkPoolFilter.model_validate({"name": {"any_": [pool]}}) if pool else None
    unfinished = {**chosen, "state": {"type": {"any_": UNFINISHED}}}
    for run in client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(unfinished), work_pool_filter=of_pool
    ):
        _crash(client, {"parent_flow_run_id": {"any_": [run.id]}}, why)
        with suppress(ObjectNotFound):  # it was deleted meanwhile
            message = f"{why}; run it again to resume."
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)


def _folder(folder: Path) -> Path:
    return folder / "running"

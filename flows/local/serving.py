"""`repic up`: a server, a work pool, deployments and a worker on this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from flows.local import profile, server
from flows.local.processes import ChildProcess, ProcessExitedError, interruptible
from repic.errors import PrefectServerError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

POOL = "repic"
START_TIMEOUT = 300.0
"""Seconds that deploying, and then the worker, may take to be ready."""

COMMAND = f"{sys.executable} -m flows.local.parent_death {sys.executable} -m prefect.engine"
"""How the worker starts a flow run: as a process that ends with the worker."""


def up(store: str, port: int = 4200) -> int:
    """Run a server, a work pool, deployments and a worker until Ctrl-C or SIGTERM.

    Meanwhile `repic` is the active Prefect profile of this user, so that every other shell finds
    the server. Relative paths of flow runs start at the working directory of this process.

    Returns:
        Exit code: 0 after Ctrl-C or SIGTERM, 1 if a process ended, 2 if it could not start.
    """
    server.set_quiet_defaults()
    try:
        with interruptible(), ExitStack() as stops:
            _watch(_start(store, port, stops))
    except KeyboardInterrupt:
        _print("Stopped.")
    except ProcessExitedError as error:
        _print(f"{error}\nThe other processes were stopped.")
        return 1
    except (PrefectServerError, OSError) as error:
        _print(f"repic: {error}")
        return 2
    return 0


def _watch(running: list[ChildProcess]) -> None:
    """Wait; raise ProcessExitedError as soon as a process has ended."""
    while True:
        for child in running:
            child.check()
        time.sleep(0.5)


def _start(store: str, port: int, stops: ExitStack) -> list[ChildProcess]:
    """Start everything and print where it is; `stops` ends it in reverse order."""
    folder, url = server.prefect_home(store), server.api_url(port)
    folder.mkdir(parents=True, exist_ok=True)
    env = server.environment(folder, url) | {
        "REPIC_HOME": os.getcwd(),
        "REPIC_STORE": store if "://" in store else str(Path(store).expanduser().resolve()),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    running: list[ChildProcess] = []

    def started(child: ChildProcess) -> ChildProcess:
        stops.callback(child.stop)
        running.append(child)
        return child

    reused = not server.is_free(port)
    if reused:
        _require_own_server(url, folder, port)
        _print(f"Using the server of this store that already runs at {url}.")
    else:
        _print(f"Starting the server; its log is {folder / 'server.log'}", end="")
        server.wait_until_healthy(started(server.start(folder, port)), url, _dot)
        _print("")
        stops.enter_context(profile.active(url))
    with _client(url) as client:
        if not reused:
            _mark_orphans_crashed(client)
        _create_pool(client)
        name = f"repic-{os.getpid()}"
        command = ["-m", "prefect", "worker", "start", "--pool", POOL, "--name", name]
        worker = ChildProcess("worker", [sys.executable, *command], env, folder / "worker.log")
        started(worker)
        _print(f"Deploying and starting a worker; its log is {worker.log}", end="")
        _deploy(client, env, folder)
        _wait(lambda: _is_online(client, name), running)
    _print(
        f"\nRunning at {url.removesuffix('/api')}; builds go to {env['REPIC_STORE']}.\n"
        "In any other shell, from any folder:\n"
        "  prefect deployment run build-datasets --watch\n"
        "  repic run build-datasets --param images=/path/to/photos --watch\n"
        "Ctrl-C here stops everything."
    )
    return running


def _require_own_server(url: str, folder: Path, port: int) -> None:
    if not server.uses_home(url, folder):
        raise PrefectServerError(
            f"Port {port} is taken by another program: stop it, or choose another port "
            f"with `repic up --port {server.free_port()}`."
        )


def _client(url: str) -> SyncPrefectClient:
    from prefect.client.orchestration import SyncPrefectClient

    return SyncPrefectClient(url)


def _mark_orphans_crashed(client: SyncPrefectClient) -> None:
    """Mark unfinished runs of an earlier `repic up` that was killed as crashed."""
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
    from prefect.states import Crashed

    unfinished = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    for run in client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(unfinished),
        work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [POOL]}}),
    ):
        message = "It ended with the `repic up` that ran it; run it again to resume."
        client.set_flow_run_state(run.id, Crashed(message=message), force=True)


def _create_pool(client: SyncPrefectClient) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["command"]["default"] = COMMAND
    pool = WorkPoolCreate(name=POOL, type="process", base_job_template=template)
    client.create_work_pool(pool, overwrite=True)


def _deploy(client: SyncPrefectClient, env: dict[str, str], folder: Path) -> None:
    """Deploy prefect.yaml; schedules that the user switched on or off stay so."""
    earlier = _schedules(client)
    command = ["-m", "prefect", "deploy", "--all", "--prefect-file", str(deployments_file())]
    deploying = ChildProcess("deploying", [sys.executable, *command], env, folder / "deploy.log")
    try:
        _wait(lambda: deploying.done(), [])
    finally:
        deploying.stop()
    for key, (deployment, schedule, active) in _schedules(client).items():
        if key in earlier and earlier[key][2] != active:
            client.update_deployment_schedule(deployment, schedule, active=not active)


def _schedules(client: SyncPrefectClient) -> dict[tuple[str, str], tuple[UUID, UUID, bool]]:
    """(deployment name, schedule slug) -> their ids, and whether the schedule is active."""
    return {
        (deployment.name, schedule.slug): (deployment.id, schedule.id, schedule.active)
        for deployment in client.read_deployments()
        for schedule in deployment.schedules
        if schedule.slug and schedule.id
    }


def deployments_file() -> Path:
    """Path of prefect.yaml: beside the package in a clone, inside it in a wheel."""
    package = Path(__file__).parents[1]
    clone = package.parent / "prefect.yaml"
    return clone if clone.exists() else package / "prefect.yaml"


def _is_online(client: SyncPrefectClient, name: str) -> bool:
    return any(worker.name == name for worker in client.read_workers_for_work_pool(POOL))


def _dot() -> None:
    _print(".", end="")


def _wait(ready: Callable[[], bool], running: list[ChildProcess]) -> None:
    """Wait until `ready`, printing a dot twice a second.

    Raises:
        ProcessExitedError: a process that should run has ended.
        PrefectServerError: not ready within START_TIMEOUT.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while not ready():
        for child in running:
            child.check()
        if time.monotonic() > deadline:
            raise PrefectServerError(
                f"Not ready after {START_TIMEOUT:.0f} s: look into the logs named above."
            )
        _dot()
        time.sleep(0.5)


def _print(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)

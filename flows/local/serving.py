"""`repic up`: server, work pool, deployments and a worker on this machine, and their end."""

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
"""Seconds that deploying, and then the worker, may take."""

COMMAND = f"{sys.executable} -m flows.local.parent_death {sys.executable} -m prefect.engine"
"""How the worker starts a flow run: in its own process group, and tied to its life."""


def up(store: str, port: int = 4200) -> int:
    """Run server, work pool, deployments and a worker until Ctrl-C, SIGTERM, or one of them dies.

    While it runs, `repic` is the active profile of this user's Prefect, so that every other shell
    finds the server. Flow runs read relative paths from the folder that this was started in.

    Returns:
        Exit code: 0 if it was told to end, 1 if something died, 2 if it could not start.
    """
    server.set_quiet_defaults()
    try:
        with interruptible(), ExitStack() as ends:
            _watch(_start(store, port, ends))
    except KeyboardInterrupt:
        _say("Stopped.")
    except ProcessExitedError as died:
        _say(f"{died}\nEverything else was stopped.")
        return 1
    except (PrefectServerError, OSError) as error:
        _say(f"repic: {error}")
        return 2
    return 0


def _watch(running: list[ChildProcess]) -> None:
    """Raises: ProcessExitedError, as soon as one of them is gone."""
    while True:
        for child in running:
            child.check()
        time.sleep(0.5)


def _start(store: str, port: int, ends: ExitStack) -> list[ChildProcess]:
    """Start everything and say so; `ends` stops it in reverse order."""
    folder, url = server.prefect_home(store), server.api_url(port)
    folder.mkdir(parents=True, exist_ok=True)
    env = server.environment(folder, url) | {
        "REPIC_HOME": os.getcwd(),
        "REPIC_STORE": store if "://" in store else str(Path(store).expanduser().resolve()),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    running: list[ChildProcess] = []

    def started(child: ChildProcess) -> ChildProcess:
        ends.callback(child.stop)
        running.append(child)
        return child

    reused = not server.is_free(port)
    if reused:
        _expect_ours(url, folder, port)
        _say(f"Using the server of this store that is already at {url}.")
    else:
        _say(f"Starting the server; its log is {folder / 'server.log'}", end="")
        server.wait_until_healthy(started(server.start(folder, port)), url, _dot)
        _say("")
        ends.enter_context(profile.active(url))
    with _client(url) as client:
        if not reused:
            _bury(client)
        _create_pool(client)
        name = f"repic-{os.getpid()}"
        command = ["-m", "prefect", "worker", "start", "--pool", POOL, "--name", name]
        worker = ChildProcess("worker", [sys.executable, *command], env, folder / "worker.log")
        started(worker)
        _say(f"Deploying and starting a worker; its log is {worker.log}", end="")
        _deploy(client, env, folder)
        _wait(lambda: _is_online(client, name), running)
    _say(
        f"\nUp: {url.removesuffix('/api')} shows it, builds go to {env['REPIC_STORE']}.\n"
        "In any other shell, from any folder:\n"
        "  prefect deployment run build-datasets --watch\n"
        "  repic run build-datasets --param images=/path/to/photos --watch\n"
        "Ctrl-C here ends all of it."
    )
    return running


def _expect_ours(url: str, folder: Path, port: int) -> None:
    if not server.uses_home(url, folder):
        raise PrefectServerError(
            f"Port {port} is taken by another program: end that, or choose another port "
            f"with `repic up --port {server.free_port()}`."
        )


def _client(url: str) -> SyncPrefectClient:
    from prefect.client.orchestration import SyncPrefectClient

    return SyncPrefectClient(url)


def _bury(client: SyncPrefectClient) -> None:
    """Runs that an earlier `repic up` left behind, when it was killed, will not go on."""
    from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
    from prefect.states import Crashed

    unfinished = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    for run in client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(unfinished),
        work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [POOL]}}),
    ):
        why = "It ended with the `repic up` that ran it; run it again to go on."
        client.set_flow_run_state(run.id, Crashed(message=why), force=True)


def _create_pool(client: SyncPrefectClient) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["command"]["default"] = COMMAND
    pool = WorkPoolCreate(name=POOL, type="process", base_job_template=template)
    client.create_work_pool(pool, overwrite=True)


def _deploy(client: SyncPrefectClient, env: dict[str, str], folder: Path) -> None:
    """Deploy all of prefect.yaml. A schedule that somebody switched on stays on."""
    switched = _schedules(client)
    command = ["-m", "prefect", "deploy", "--all", "--prefect-file", str(definitions())]
    deploying = ChildProcess("deploying", [sys.executable, *command], env, folder / "deploy.log")
    try:
        _wait(lambda: deploying.done(), [])
    finally:
        deploying.stop()
    for key, (deployment, schedule, on) in _schedules(client).items():
        if key in switched and switched[key][2] != on:
            client.update_deployment_schedule(deployment, schedule, active=not on)


def _schedules(client: SyncPrefectClient) -> dict[tuple[str, str], tuple[UUID, UUID, bool]]:
    """(deployment, schedule's slug) -> the ids of both, and whether it is on."""
    return {
        (deployment.name, schedule.slug): (deployment.id, schedule.id, schedule.active)
        for deployment in client.read_deployments()
        for schedule in deployment.schedules
        if schedule.slug and schedule.id
    }


def definitions() -> Path:
    """The file prefect.yaml: beside the package in a clone, inside it in a wheel."""
    package = Path(__file__).parents[1]
    clone = package.parent / "prefect.yaml"
    return clone if clone.exists() else package / "prefect.yaml"


def _is_online(client: SyncPrefectClient, name: str) -> bool:
    return any(worker.name == name for worker in client.read_workers_for_work_pool(POOL))


def _dot() -> None:
    _say(".", end="")


def _wait(ready: Callable[[], bool], running: list[ChildProcess]) -> None:
    """Until it is ready, with a dot twice a second.

    Raises:
        ProcessExitedError: one of those who should be running is not.
        PrefectServerError: it takes longer than START_TIMEOUT.
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


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)

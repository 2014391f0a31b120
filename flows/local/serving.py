"""`repic up`: a server, a work pool, deployments and a worker on this machine."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flows.local import home, profile, runs, server, studio
from flows.local.access import Access
from flows.local.files import locked
from flows.local.problems import explained
from flows.local.processes import ChildProcess, interruptible
from flows.local.studio import StudioOptions
from repic.errors import PrefectServerError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

POOL = "repic"
START_TIMEOUT = 300.0
"""Seconds that deploying, and then the worker, may take to be ready."""

COMMAND = f"{sys.executable} -m flows.local.parent_death {sys.executable} -m prefect.engine"
"""How the worker starts a flow run: as a process that ends with the worker."""

VARIABLES = ("name", "labels", "stream_output")
"""What a deployment or a run may set of its job: nothing that starts another program."""


def up(store: str, port: int = 4200, with_studio: StudioOptions | None = None) -> int:
    """Run a server, a work pool, deployments and a worker until Ctrl-C or SIGTERM.

    Meanwhile `repic` is the active Prefect profile of this user, so that every other shell finds
    the server. Relative paths of flow runs start at the working directory of this process.

    Args:
        with_studio: Run the studio of the store as well.

    Returns:
        Exit code: 0 after Ctrl-C or SIGTERM; 2 if it could not start, or if a process ended.
    """
    server.load_settings()
    access = Access(port)
    try:
        with interruptible(), explained(access.url), ExitStack() as stops:
            _watch(_start(store, access, stops, with_studio))
    except KeyboardInterrupt:
        _print("Stopped.")
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


def _start(
    store: str, access: Access, stops: ExitStack, with_studio: StudioOptions | None
) -> list[ChildProcess]:
    """Start everything and print where it is; `stops` ends it in reverse order."""
    folder = home.prepare(store)
    stops.enter_context(_only_one(folder, access.url))
    env = server.environment(folder, access) | {
        home.PARENT: str(folder.parent),
        "REPIC_HOME": os.getcwd(),
        "REPIC_STORE": store if "://" in store else str(Path(store).expanduser().resolve()),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    running: list[ChildProcess] = []

    def started(child: ChildProcess) -> ChildProcess:
        stops.callback(child.stop)
        running.append(child)
        return child

    process = started(server.start(folder, access, database=os.environ.get(server.DATABASE)))
    with _progress(f"Starting the server; its log is {process.log}"):
        server.wait_until_healthy(process, access.url, _dot)
    name = stops.enter_context(profile.active(access))
    client = stops.enter_context(_client(access))
    runs.crash_ended(client, folder)
    runs.crash_pool(client, POOL)
    _create_pool(client)
    stops.callback(_crash_unfinished, access)
    worker_name = f"repic-{os.getpid()}"
    command = ["-m", "prefect", "worker", "start", "--pool", POOL, "--name", worker_name]
    worker = ChildProcess("worker", [sys.executable, *command], env, folder / "worker.log")
    started(worker)
    with _progress(f"Deploying and starting a worker; its log is {worker.log}"):
        _deploy(client, env, folder)
        _wait(lambda: _is_online(client, worker_name), running)
    if with_studio:
        page = started(studio.start(with_studio, env, folder))
        with _progress(f"Starting the studio; its log is {page.log}"):
            _wait(lambda: studio.is_healthy(with_studio), running)
        _print(f"The studio is at {with_studio.url}")
    _print(
        f"Running at {access.url.removesuffix('/api')}; builds go to {env['REPIC_STORE']}.\n"
        "In any other shell, from any folder:\n"
        "  prefect deployment run build-datasets --watch\n"
        "  repic run build-datasets --param images=/path/to/photos --watch\n"
        "To sign in to the page, paste the PREFECT_API_AUTH_STRING of the profile "
        f"{name} in {profile.profiles_file()}.\n"
        "Ctrl-C here stops everything."
    )
    return running


@contextmanager
def _only_one(folder: Path, url: str) -> Iterator[None]:
    """Hold the lock of the folder in which Prefect keeps the files of a store.

    Raises:
        PrefectServerError: another `repic up` holds it.
    """
    path = folder / "up.lock"
    with locked(path, wait=False) as file:
        if file is None:
            running = path.read_text(encoding="utf-8").strip()
            raise PrefectServerError(
                f"Another `repic up` already serves this store: {running}. Use its server, or end "
                "it with Ctrl-C first."
            )
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()} at {url}")
        file.flush()
        yield


def _client(access: Access) -> AbstractContextManager[SyncPrefectClient]:
    from prefect.client.orchestration import SyncPrefectClient

    return SyncPrefectClient(access.url, auth_string=access.auth)


def _crash_unfinished(access: Access) -> None:
    """Mark the runs that the worker left, unless the server is gone; then the next start does."""
    with suppress(PrefectServerError), explained(access.url), _client(access) as client:
        runs.crash_pool(client, POOL)


def _create_pool(client: SyncPrefectClient) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    variables = template["variables"]["properties"]
    template["variables"]["properties"] = {key: variables[key] for key in VARIABLES}
    template["job_configuration"] = {key: f"{{{{ {key} }}}}" for key in VARIABLES} | {
        "command": COMMAND
    }
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


@contextmanager
def _progress(text: str) -> Iterator[None]:
    """Print a line to which dots are added."""
    _print(text, end="")
    try:
        yield
    finally:
        _print("")


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

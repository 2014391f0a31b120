"""The Prefect server: its settings, its address, its process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.local.access import Access, free_port, listen
from flows.local.home import empty_folder
from flows.local.processes import ChildProcess
from repic.errors import PrefectServerError
from repic.pipeline import log_lines

if TYPE_CHECKING:
    from prefect.settings import Settings

START_TIMEOUT = 180.0
"""Seconds that a server may take to answer; a busy small machine needs more than 20."""

DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
"""Environment variable of Prefect with the database of a server."""

THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Server, worker and models share the cores, so waiting OpenMP threads must not spin."""

CONCURRENCY_LIMITS = {
    # Leases in memory, the default, are lost when the server ends; their slots never return.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # Longest wait of a worker between two requests for a slot; the default is 30 s.
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
}
"""Settings under which the slot of a killed process returns, also after a restart."""

QUIET_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
}


def environment(folder: Path, access: Access) -> dict[str, str]:
    """Environment of a process that uses this server.

    PREFECT_ variables and profiles of the user are left out; other variables of the user take
    precedence over our defaults.
    """
    user = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {
        **THREADS,
        **user,
        **QUIET_DEFAULTS,
        **(log_lines.PREFECT if log_lines.wanted() else {}),
        "PREFECT_HOME": str(folder),
        "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
        "PREFECT_LOGGING_SETTINGS_PATH": str(folder / "logging.yml"),
        **access.client,
    }


def load_settings() -> Settings:
    """Import Prefect without telemetry and prompts; its settings.

    They come from the environment and the user's profile, and from no file of the working
    directory, which may be a folder of somebody else.
    """
    for key, value in QUIET_DEFAULTS.items():
        os.environ.setdefault(key, value)
    with empty_folder():
        from prefect.settings import get_current_settings

        return get_current_settings()


def use_home(folder: Path) -> None:
    """Keep the files of Prefect in `folder`; call this before Prefect is imported.

    The user's profiles stay in use: one of them may name a server. Processes that this one starts
    use the same files of settings, wherever they work.
    """
    if "PREFECT_HOME" not in os.environ:
        profiles = Path("~/.prefect/profiles.toml").expanduser()
        os.environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))
        os.environ["PREFECT_HOME"] = str(folder)
    settings = load_settings()
    os.environ.setdefault("PREFECT_PROFILES_PATH", str(settings.profiles_path))
    os.environ.setdefault("PREFECT_LOGGING_SETTINGS_PATH", str(settings.logging.config_path))


def is_healthy(url: str) -> bool:
    """Whether a Prefect server answers at this API URL."""
    import httpx

    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def start(
    folder: Path, access: Access, *, ui: bool = True, database: str | None = None
) -> ChildProcess:
    """Start a server with the log `folder/server.log`; see `wait_until_healthy`.

    It inherits a socket, so no other program of this machine can answer in its place.

    Args:
        database: URL of a PostgreSQL database, which may have a password; by default a file of
            SQLite in the folder.

    Raises:
        PrefectServerError: the port is taken.
    """
    env = environment(folder, access) | access.server | CONCURRENCY_LIMITS
    env["PREFECT_SERVER_UI_ENABLED"] = str(ui).lower()
    if database:
        env[DATABASE] = database
    with listen(access.port) as listening:
        descriptor = listening.fileno()
        command = [sys.executable, "-m", "flows.local.guarded_server", str(descriptor)]
        return ChildProcess("server", command, env, folder / "server.log", [descriptor])


def wait_until_healthy(
    server: ChildProcess, url: str, waiting: Callable[[], None] = lambda: None
) -> None:
    """Wait until the server answers; call `waiting` about twice a second.

    Raises:
        ProcessExitedError: the server ended.
        PrefectServerError: it did not answer within START_TIMEOUT.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while not is_healthy(url):
        server.check()
        if time.monotonic() > deadline:
            raise PrefectServerError(
                f"The Prefect server did not answer within {START_TIMEOUT:.0f} s: look into "
                f"{server.log}."
            )
        waiting()
        time.sleep(0.5)


@contextmanager
def ensure_server(folder: Path) -> Iterator[str]:
    """API URL of the configured server, or of a temporary one that ends with this context.

    Prefect's own temporary server is not used: it survives a kill of this process, and receives
    Ctrl-C before the flow that still needs it.

    Raises:
        PrefectServerError: the configured server does not answer.
    """
    from prefect.settings import get_current_settings

    if url := get_current_settings().api.url:
        if not is_healthy(url):
            raise PrefectServerError(
                f"No Prefect server answers at {url}: start it with `repic up`, or unset "
                "PREFECT_API_URL (`prefect config unset PREFECT_API_URL`) for a temporary one."
            )
        yield url
        return
    access = Access(free_port())
    server = start(folder, access, ui=False)
    try:
        wait_until_healthy(server, access.url)
        with access.active():
            yield access.url
    finally:
        server.stop()


def flush_logs_and_events(url: str) -> None:
    """Send the logs and events that Prefect has queued, while the server still runs.

    If it is gone, they are dropped: Prefect would try for seconds with each of them.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    workers: tuple[Any, ...] = (APILogWorker, EventsWorker)
    is_gone = not is_healthy(url)
    for worker in workers:
        for service in tuple(worker._instances.values()) if is_gone else ():
            with service._queue.mutex:
                service._queue.queue.clear()
        worker.drain_all(timeout=5)

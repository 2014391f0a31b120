"""The Prefect server: where its files are, how to find one, how to run one.

Everything that Prefect writes for us lies in the data root: `STORE/.prefect`, or, where the store
is a URL, `.prefect` in the folder of the command.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.local.processes import ChildProcess
from repic.errors import PrefectServerError

START_TIMEOUT = 180.0
"""Seconds that a server may take to answer; on a small busy machine it needs more than 20."""

HOST = "127.0.0.1"

THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Server, worker and models share the cores, so a thread that waits for another must not spin."""

CONCURRENCY_LIMITS = {
    # Leases in memory, the default, are lost when the server restarts, and their slots with them.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # A worker that waits for a slot asks again after at most so many seconds; the default is 30.
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
}
"""Settings of our server under which the slot of a killed process returns, and soon."""

QUIET_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
}


def prefect_home(store: str) -> Path:
    """Folder of everything that Prefect keeps for this store: database, logs, results."""
    return (Path.cwd() if "://" in store else Path(store).expanduser()).resolve() / ".prefect"


def environment(folder: Path, url: str) -> dict[str, str]:
    """Environment of a process that works for the server at `url` (`http://.../api`).

    Nothing of the user's own Prefect reaches it: neither PREFECT_ variables nor profiles; what else
    the user has set does, before our defaults.
    """
    own = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {
        **THREADS,
        **own,
        **QUIET_DEFAULTS,
        "PREFECT_HOME": str(folder),
        "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
        "PREFECT_API_URL": url,
    }


def set_quiet_defaults() -> None:
    """Let the Prefect of this process, which is not imported yet, neither report nor ask."""
    for key, value in QUIET_DEFAULTS.items():
        os.environ.setdefault(key, value)


def use_home(folder: Path) -> None:
    """Let the Prefect of this process, which is not imported yet, keep its files in `folder`.

    The profiles stay where the user has them: one of them may name a server.
    """
    set_quiet_defaults()
    folder.mkdir(parents=True, exist_ok=True)
    if "PREFECT_HOME" not in os.environ:
        profiles = Path("~/.prefect/profiles.toml").expanduser()
        os.environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))
        os.environ["PREFECT_HOME"] = str(folder)


def is_healthy(url: str) -> bool:
    """Whether a Prefect server is at this API URL."""
    import httpx

    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def uses_home(url: str, folder: Path) -> bool:
    """Whether the server at this URL keeps its files in `folder`."""
    import httpx

    try:
        return httpx.get(f"{url}/admin/settings", timeout=5).json()["home"] == str(folder)
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def is_free(port: int) -> bool:
    """Whether a server can listen on this port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def api_url(port: int) -> str:
    return f"http://{HOST}:{port}/api"


def start(folder: Path, port: int, *, ui: bool = True) -> ChildProcess:
    """Start a server; it does not answer yet. Its log is `folder/server.log`."""
    env = environment(folder, api_url(port)) | CONCURRENCY_LIMITS
    env["PREFECT_SERVER_UI_ENABLED"] = str(ui).lower()
    command = ["-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    return ChildProcess("server", [sys.executable, *command], env, folder / "server.log")


def wait_until_healthy(
    server: ChildProcess, url: str, waiting: Callable[[], None] = lambda: None
) -> None:
    """Wait until the server answers; calls `waiting` about twice a second.

    Raises:
        ProcessExitedError: it ended instead.
        PrefectServerError: it took longer than START_TIMEOUT.
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
    """API URL of the server that this process is set to, or of one that lives as long as this.

    The second is no part of Prefect's own temporary server: that one survives a kill, and gets the
    Ctrl-C before the flow that still talks to it.

    Raises:
        PrefectServerError: the one that is set does not answer.
    """
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    if url := get_current_settings().api.url:
        if not is_healthy(url):
            raise PrefectServerError(
                f"No Prefect server answers at {url}: start it with `repic up`, or unset "
                "PREFECT_API_URL (`prefect config unset PREFECT_API_URL`) for a temporary one."
            )
        yield url
        return
    port = free_port()
    server = start(folder, port, ui=False)
    try:
        wait_until_healthy(server, api_url(port))
        with temporary_settings({PREFECT_API_URL: api_url(port)}):
            try:
                yield api_url(port)
            finally:
                _flush_logs_and_events()
    finally:
        server.stop()


def _flush_logs_and_events() -> None:
    """Logs and states that Prefect still holds, while there is a server to take them."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=5)

"""A running `repic up`, and the shell of an operator in another folder."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.local import profile
from flows.local.access import Access
from flows.local.home import PARENT, prefect_home
from tests.ports import free_port

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PREFECT = str(Path(sys.executable).with_name("prefect"))
REPIC = [sys.executable, "-m", "repic.cli"]


def new_user(folder: Path) -> dict[str, str]:
    """Environment of a user whose Prefect is new and who has set nothing."""
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "REPIC_"))
    }
    homes = {"PREFECT_HOME": str(folder), PARENT: str(folder.parent / "homes")}
    return {**own, **homes, "DO_NOT_TRACK": "1", "COLUMNS": "200"}


def home_of(user: dict[str, str], store: Path) -> Path:
    """PREFECT_HOME of a store of this user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PARENT, user[PARENT])
        return prefect_home(str(store))


def processes_of(folder: Path) -> dict[int, str]:
    """Process id -> command line, of the processes whose PREFECT_HOME is in this folder."""
    processes = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"PREFECT_HOME={folder}".encode() in (process / "environ").read_bytes():
                processes[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it ended meanwhile, or belongs to another user
            continue
    return processes


def client_of(access: Access) -> SyncPrefectClient:
    from prefect.client.orchestration import SyncPrefectClient

    return SyncPrefectClient(access.url, auth_string=access.auth)


def artifact(access: Access, key: str) -> str:
    """The newest artifact with this key."""
    with client_of(access) as client:
        return str(client.request("GET", f"/artifacts/{key}/latest").json()["data"])


def run_states(home: Path) -> list[str]:
    """States of all flow runs, oldest first, as the database below a PREFECT_HOME has them."""
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        rows = database.execute("SELECT state_type FROM flow_run ORDER BY created")
        return [state for (state,) in rows]


def install_database(database: Path, home: Path) -> None:
    """Give a new PREFECT_HOME a migrated database: migrations take longer than the tests."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copy(database, home / "prefect.db")


@dataclass
class Up:
    """A running `repic up`, its data root, and a second shell in another folder."""

    process: subprocess.Popen[bytes]
    folder: Path
    user: dict[str, str]
    port: int

    @property
    def root(self) -> Path:
        """The folder of `repic up`, with the store."""
        return self.folder / "root"

    @property
    def home(self) -> Path:
        """PREFECT_HOME of the server."""
        return home_of(self.user, self.root / "store")

    @property
    def elsewhere(self) -> Path:
        """The folder of the other shell."""
        return self.folder / "elsewhere"

    @property
    def printed(self) -> str:
        return (self.root / "out").read_text()

    @property
    def profiles(self) -> Path:
        return Path(self.user["PREFECT_HOME"]) / "profiles.toml"

    @property
    def profile(self) -> str:
        """Name of the active profile."""
        return str(tomllib.loads(self.profiles.read_text())["active"])

    @property
    def access(self) -> Access:
        """What this user's profile says."""
        saved = tomllib.loads(self.profiles.read_text())["profiles"][profile.name_of(self.port)]
        return Access(self.port, saved["PREFECT_API_AUTH_STRING"])

    def shell(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.elsewhere,
            env=self.user,
            capture_output=True,
            text=True,
            timeout=900,
        )

    def wait(self, ready: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.1)

    def wait_until_no_process_is_left(self) -> None:
        self.wait(lambda: not processes_of(self.home), 240)


@contextmanager
def running_up(
    folder: Path,
    database: Path | None = None,
    user: dict[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[Up]:
    """Start `repic up` below this folder.

    Args:
        database: Migrated database to copy.
        user: Environment of a user; by default a new one.
        options: Further options of the command.
    """
    root, elsewhere = folder / "root", folder / "elsewhere"
    root.mkdir(exist_ok=True)
    elsewhere.mkdir(exist_ok=True)
    port, user = free_port(), user or new_user(folder / "user")
    if database:
        install_database(database, home_of(user, root / "store"))
    with (root / "out").open("wb") as out:
        process = subprocess.Popen(
            [*REPIC, "up", "--port", str(port), "--store", "store", *options],
            cwd=root,
            env=user,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    up = Up(process, folder, user, port)
    try:
        up.wait(lambda: "Ctrl-C" in up.printed or process.poll() is not None, 300)
        assert process.poll() is None, up.printed
        yield up
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(240)
        finally:
            process.kill()

"""A running `repic up`, and the shell of an operator in another folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.local import server

PREFECT = str(Path(sys.executable).with_name("prefect"))
REPIC = [sys.executable, "-m", "repic.cli"]


def new_user(folder: Path) -> dict[str, str]:
    """Environment of a user whose Prefect is new and who has set nothing."""
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PREFECT_", "REPIC_"))
    }
    return {**own, "PREFECT_HOME": str(folder), "DO_NOT_TRACK": "1", "COLUMNS": "200"}


def processes_of(folder: Path) -> dict[int, str]:
    """Process id -> command line, of the processes whose PREFECT_HOME is below this folder."""
    processes = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"PREFECT_HOME={folder}".encode() in (process / "environ").read_bytes():
                processes[int(process.name)] = (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it ended meanwhile, or belongs to another user
            continue
    return processes


def install_database(database: Path, home: Path) -> None:
    """Give a new PREFECT_HOME a migrated database: migrations take longer than the tests."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(database, home / "prefect.db")


@dataclass
class Up:
    """A running `repic up`, its data root, and a second shell in another folder."""

    process: subprocess.Popen[bytes]
    root: Path
    elsewhere: Path
    user: dict[str, str]
    port: int

    @property
    def printed(self) -> str:
        return (self.root / "out").read_text()

    @property
    def profile(self) -> str:
        profiles = Path(self.user["PREFECT_HOME"]) / "profiles.toml"
        return str(tomllib.loads(profiles.read_text())["active"])

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
        self.wait(lambda: not processes_of(self.root), 30)


@contextmanager
def running_up(folder: Path, database: Path | None = None) -> Iterator[Up]:
    """Start `repic up` below this folder, with a copy of a migrated database if one is given."""
    root, elsewhere = folder / "root", folder / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    if database:
        install_database(database, root / "store" / ".prefect")
    port, user = server.free_port(), new_user(folder / "user")
    with (root / "out").open("wb") as out:
        process = subprocess.Popen(
            [*REPIC, "up", "--port", str(port), "--store", "store"],
            cwd=root,
            env=user,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    up = Up(process, root, elsewhere, user, port)
    try:
        up.wait(lambda: "Ctrl-C" in up.printed or process.poll() is not None, 300)
        assert process.poll() is None, up.printed
        yield up
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        finally:
            process.kill()

"""Kills and faults of parts of Prefect: a run ends in a true state, the next does only the rest."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.local import server
from flows.local.access import Access
from flows.local.processes import ChildProcess
from storage.integrity import verify
from storage.store import Store
from tests.flows.up import (
    REPIC,
    Up,
    home_of,
    install_database,
    processes_of,
    run_states,
    running_up,
)
from tests.ports import free_port

pytestmark = pytest.mark.slow

TINY = ("source.count=24", "source.identities=8")


def until(ready: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def parts(store: Path) -> dict[Path, float]:
    """Kept results of finished shards -> when they were written."""
    return {path: path.stat().st_mtime for path in (store / "parts").rglob("*.parquet")}


def kill(folder: Path, word: str) -> None:
    """Kill the processes below this PREFECT_HOME with a word in their command."""
    for pid, command in processes_of(folder).items():
        if word in command:
            os.kill(pid, signal.SIGKILL)


def start_build(up: Up) -> dict[Path, float]:
    """Start a build by the worker, and wait until it has kept a result."""
    overrides = "[" + ", ".join(f'"{one}"' for one in TINY) + "]"
    done = up.shell(*REPIC, "run", "build-datasets", "--param", f"overrides={overrides}")
    assert done.returncode == 0, done.stdout + done.stderr
    up.wait(lambda: bool(parts(up.root / "store")), 400)
    return parts(up.root / "store")


def finish_build(up: Up, kept: dict[Path, float]) -> None:
    """Build again: it completes, and computes nothing that was kept."""
    overrides = "[" + ", ".join(f'"{one}"' for one in TINY) + "]"
    command = (*REPIC, "run", "build-datasets", "--watch")
    done = up.shell(*command, "--param", f"overrides={overrides}")
    assert done.returncode == 0, done.stdout + done.stderr
    now = parts(up.root / "store")
    assert {path: now.get(path, when) for path, when in kept.items()} == kept
    log = (up.home / "worker.log").read_text()
    assert (
        "24 to compute, 0 kept"
        not in log.rpartition("Beginning flow run")[2].partition("detections")[0]
    ), "the first stage was kept"
    store = Store.open(up.root / "store")
    assert store.manifest("dataset@latest").version == 1
    assert verify(store) == []


def test_a_killed_flow_run_crashes_and_the_next_one_resumes(up: Up) -> None:
    kept = start_build(up)
    kill(up.home, "prefect.engine")
    up.wait(lambda: run_states(up.home) == ["CRASHED"], 240)
    finish_build(up, kept)
    assert run_states(up.home) == ["CRASHED", "COMPLETED"]


def test_a_killed_worker_ends_up_and_its_run_crashes(up: Up) -> None:
    kept = start_build(up)
    kill(up.home, "worker start")
    assert up.process.wait(500) == 2
    assert "repic: The worker ended with code -9" in up.printed
    up.wait_until_no_process_is_left()
    assert run_states(up.home) == ["CRASHED"]
    with running_up(up.folder, user=up.user) as following:
        finish_build(following, kept)
        assert run_states(following.home) == ["CRASHED", "COMPLETED"]


@contextmanager
def database_locked(database: Path) -> Iterator[None]:
    """Hold the write lock of Prefect's database, as a backup or another program would."""
    connection = sqlite3.connect(database, timeout=60, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def test_a_locked_database_delays_a_run_and_does_not_end_it(up: Up) -> None:
    kept = start_build(up)
    with database_locked(up.home / "prefect.db"):
        time.sleep(20)
    up.wait(lambda: run_states(up.home) == ["COMPLETED"], 500)
    finish_build(up, kept)


class Build:
    """`repic build --prefect` in a process of its own."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.store, self.output = folder / "store", folder / "output"
        options = [word for one in TINY for word in ("--set", one)]
        command = [*REPIC, "build", "--prefect", "--profile", "sample", *options]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--store", str(self.store)],
                env={**env, "REPIC_HOME": str(folder)},
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )

    def wait_for_parts(self) -> dict[Path, float]:
        until(lambda: bool(parts(self.store)) or self.process.poll() is not None)
        assert self.process.poll() is None, self.output.read_text()
        return parts(self.store)


@contextmanager
def own_server(home: Path, access: Access) -> Iterator[ChildProcess]:
    process = server.start(home, access, ui=False)
    try:
        server.wait_until_healthy(process, access.url)
        yield process
    finally:
        process.stop()


@pytest.fixture
def home(tmp_path: Path, database: Path, user: dict[str, str]) -> Path:
    """PREFECT_HOME of a store, with a migrated database."""
    install_database(database, folder := home_of(user, tmp_path / "store"))
    return folder


def test_a_run_goes_on_when_its_server_is_restarted(
    tmp_path: Path, home: Path, user: dict[str, str]
) -> None:
    access = Access(free_port())
    with own_server(home, access) as first:
        build = Build(tmp_path, {**user, **access.client})
        build.wait_for_parts()
        os.kill(first._process.pid, signal.SIGKILL)
    with own_server(home, access):
        assert build.process.wait(500) == 0, build.output.read_text()
        assert run_states(home) == ["COMPLETED"]


def test_a_server_that_is_gone_is_one_sentence_and_the_run_crashes(
    tmp_path: Path, home: Path, user: dict[str, str]
) -> None:
    access = Access(free_port())
    env = {**user, **access.client, "PREFECT_CLIENT_MAX_RETRIES": "1"}
    with own_server(home, access) as first:
        build = Build(tmp_path, env)
        kept = build.wait_for_parts()
        os.kill(first._process.pid, signal.SIGKILL)
        code = build.process.wait(500)
    printed = build.output.read_text()
    assert code in (0, 2), printed
    assert "Traceback" not in printed
    if code == 2:
        assert f"repic: The Prefect server at {access.url} does not answer any more" in printed
    assert run_states(home) == ["RUNNING"], "nobody was told how it ended"
    with own_server(home, access):
        again = Build(tmp_path, env)
        assert again.process.wait(500) == 0, again.output.read_text()
    assert run_states(home) == ["CRASHED", "COMPLETED"]
    assert {path: parts(build.store).get(path, when) for path, when in kept.items()} == kept


def test_a_killed_build_crashes_when_the_next_one_starts(
    tmp_path: Path, home: Path, user: dict[str, str]
) -> None:
    build = Build(tmp_path, user)
    kept = build.wait_for_parts()
    build.process.kill()
    build.process.wait()
    until(lambda: not any("guarded_server" in line for line in processes_of(home).values()), 240)
    assert run_states(home) == ["RUNNING"]
    again = Build(tmp_path, user)
    assert again.process.wait(500) == 0, again.output.read_text()
    assert run_states(home) == ["CRASHED", "COMPLETED"]
    assert not list((home / "running").iterdir())
    now = parts(build.store)
    assert {path: now.get(path, when) for path, when in kept.items()} == kept


def test_another_string_is_refused_in_one_sentence(
    tmp_path: Path, home: Path, user: dict[str, str]
) -> None:
    access = Access(free_port())
    stale = {**user, **Access(access.port).client}
    with own_server(home, access):
        build = Build(tmp_path, stale)
        assert build.process.wait(500) == 2
        assert build.output.read_text().count("\n") == 1, build.output.read_text()
        assert "refused the credentials" in build.output.read_text()
        run = subprocess.run(
            [*REPIC, "run", "build-datasets"], env=stale, capture_output=True, text=True
        )
    assert run.returncode == 2
    assert "refused the credentials" in run.stderr

"""Prefect on PostgreSQL, set up with the commands of docs/cluster.md: workers, builds, a kill."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from flows.local import server
from flows.local.access import Access
from flows.local.serving import deployments_file
from storage.integrity import verify
from storage.store import Store
from tests.flows import cluster_page
from tests.flows.postgresql import running_postgresql
from tests.flows.up import PREFECT, REPIC, client_of, new_user
from tests.ports import free_port

pytestmark = pytest.mark.slow

PATIENCE = 400.0
"""Seconds that anything may take on a busy machine."""


class Team:
    """A Prefect server on PostgreSQL, and the shell of its administrator."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.access = folder, Access(free_port())
        self.store, self.log = folder / "store", folder / "log"
        self.env = new_user(folder / "user") | self.access.client
        self.env |= {"REPIC_STORE": str(self.store), "REPIC_HOME": str(folder)}
        storage = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
        self.served = {
            **self.env,
            server.DATABASE: database,
            "PREFECT_SERVER_API_AUTH_STRING": self.access.auth,
            storage: cluster_page.variable(storage),
        }

    def command(self, pattern: str, **ours: str) -> list[str]:
        """The only command of the page that matches, with texts of ours in place of its own."""
        places = {"10.0.0.5": "127.0.0.1", "4200": str(self.access.port), **ours}
        (program, *rest), _ = cluster_page.command(pattern, places)
        return [*{"prefect": (PREFECT,), "repic": REPIC}[program], *rest]

    @contextmanager
    def started(self, *command: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
        """A program with processes of its own, which all end with this context."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**self.env, **env},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            kill(process)

    def shell(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.log.read_text()[-3000:]
        return done.stdout

    def build(self, seed: int, *parameters: str) -> None:
        """Ask for a build of generated photos; it goes to any worker."""
        overrides = ["source.count=24", "source.identities=8", f"examples.seed={seed}"]
        parameters = (f"overrides={json.dumps(overrides)}", *parameters)
        words = " --param ".join(map(shlex.quote, parameters))
        ours = {"images=s3://bucket/photos --watch": words}
        self.shell(*self.command("repic run build-datasets .* --watch", **ours))

    def states(self) -> list[str]:
        """States of all builds."""
        with client_of(self.access) as client:
            return sorted(run.state_type.value for run in client.read_flow_runs())

    def until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, (self.states(), self.log.read_text()[-3000:])
            time.sleep(0.2)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started, as a machine that goes away."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def database() -> Iterator[str]:
    """The connection URL of the page, for the user and the database that its commands make."""
    url, password = cluster_page.variable(server.DATABASE), secrets.token_hex()
    with running_postgresql() as cluster:
        for program, typed in (("createuser", f"{password}\n{password}\n"), ("createdb", "")):
            cluster.run(cluster_page.command(f"sudo -u postgres {program}", {})[0], typed)
        assert url.count("PASSWORD@127.0.0.1/") == 1
        yield url.replace("PASSWORD@127.0.0.1/", f"{password}@127.0.0.1:{cluster.port}/")


@pytest.mark.timeout(1500)
def test_two_workers_of_one_pool_and_a_kill(tmp_path: Path, database: str) -> None:
    team = Team(tmp_path, database)
    with ExitStack() as stack:
        command = team.command("prefect server start")
        serving = stack.enter_context(team.started(*command, **team.served))
        team.until(lambda: server.is_healthy(team.access.url) or serving.poll() is not None)
        team.shell(*team.command("prefect work-pool create"))
        file = {"prefect.yaml": str(deployments_file())}
        team.shell(*team.command("prefect deploy", **file))
        workers = [
            stack.enter_context(
                team.started(
                    *team.command("prefect worker start", NAME=name),
                    PREFECT_HOME=str(tmp_path / name),
                    PREFECT_WORKER_QUERY_SECONDS="2",
                )
            )
            for name in ("one", "other")
        ]
        store = Store.open(team.store, create=True)
        with store.leases.gc():  # which builds wait for, so that neither ends before both run
            team.build(1)
            team.build(2)
            team.until(lambda: team.states() == ["RUNNING"] * 2)
        team.until(lambda: bool(store.files.find("parts")))
        kill(workers[0])
        team.until(lambda: team.states() == ["COMPLETED", "CRASHED"])
        done = store.manifest("dataset@v1").settings["examples"]["seed"]
        # The same parameters as on the command line send it to a cluster.
        team.build(3 - done, *(("runner=dask", "workers=1") if find_spec("prefect_dask") else ()))
        team.until(lambda: team.states() == ["COMPLETED", "COMPLETED", "CRASHED"])
        assert store.versions("dataset") == [1, 2]
        first, second = (store.manifest(f"examples@v{number}").content for number in (1, 2))
        assert first != second
        assert verify(store) == []
        kill(serving)
    # `repic up` on the same database finds what the other server left in it.
    process = server.start(tmp_path / "user", team.access, ui=False, database=database)
    try:
        server.wait_until_healthy(process, team.access.url)
        assert team.states() == ["COMPLETED", "COMPLETED", "CRASHED"]
    finally:
        process.stop()

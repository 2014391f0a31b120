"""A team: Prefect on PostgreSQL, the store on S3, two workers, a kill, shards on a Dask cluster.

All of it is set up with the commands of docs/cluster.md.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.local import server
from flows.local.access import Access
from flows.local.serving import deployments_file
from storage.integrity import verify
from storage.store import Store
from tests.flows import cluster_page
from tests.flows.cluster_page import PATIENCE, Page, kill
from tests.flows.postgresql import running_postgresql
from tests.flows.up import client_of, new_user
from tests.ports import free_port
from tests.reader import write_photos
from tests.storage.s3_server import serving

pytestmark = pytest.mark.slow

pytest.importorskip("prefect_dask", reason="the extra dask is not installed")

BUILD = "repic run build-datasets --param images=s3://bucket/photos"
OF_EACH = 4
"""Most photos of a thing; their boxes take most of the time."""

SMALL_SHARDS = ("runtime.batch_size=2", "detector.image_size=128", "runtime.threads=1")


@dataclass
class Team(Page):
    """A Prefect server on PostgreSQL, and the shell of its administrator."""

    access: Access
    store: Store

    def build(self, pattern: str, seed: int, **ours: str) -> None:
        """Ask for a build of the photos; it goes to any worker."""
        overrides = json.dumps([*SMALL_SHARDS, f"examples.seed={seed}"])
        self.run(pattern, "--param", f"overrides={overrides}", **ours)

    def states(self) -> list[str]:
        """States of all builds."""
        with client_of(self.access) as client:
            return sorted(run.state_type.value for run in client.read_flow_runs())

    def until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, (self.states(), self.logs())
            time.sleep(0.5)

    def logs(self) -> list[str]:
        """The end of what each program said."""
        return [log.read_text()[-3000:] for log in self.folder.glob("log-*")]


@pytest.fixture
def database() -> Iterator[str]:
    """The connection URL of the page, for the user and the database that its commands make."""
    url, password = cluster_page.variable(server.DATABASE), secrets.token_hex()
    with running_postgresql() as cluster:
        for program, typed in (("createuser", f"{password}\n{password}\n"), ("createdb", "")):
            cluster.run(cluster_page.command(f"sudo -u postgres {program}", {})[0], typed)
        assert url.count("PASSWORD@127.0.0.1/") == 1
        yield url.replace("PASSWORD@127.0.0.1/", f"{password}@127.0.0.1:{cluster.port}/")


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    access, user = Access(free_port()), new_user(tmp_path / "user")
    (tmp_path / "etc").mkdir()
    (tmp_path / "drawn").mkdir()
    write_photos(tmp_path / "drawn", things=4, planned=48)
    for thing in (tmp_path / "drawn" / "photos").iterdir():
        for photo in sorted(thing.iterdir())[OF_EACH:]:
            photo.unlink()
    with serving() as s3:
        s3.upload(tmp_path / "drawn" / "photos")
        store = Store.open(s3.store("store"), create=True, storage_options=s3.options)
        port = free_port()
        ours = {
            "/etc/repic": str(tmp_path / "etc"),
            "s3://bucket": f"s3://{s3.bucket}",
            "10.0.0.5:8786": f"127.0.0.1:{port}",
            "--port 8786": f"--port {port}",
            "--port 4200": f"--port {access.port}",
            "10.0.0.5": "127.0.0.1",
            "10.0.0.6": "127.0.0.1",
            "--nworkers 4": "--nworkers 1",
            "prefect.yaml": str(deployments_file()),
        }
        own = {
            "REPIC_STORE": s3.store("store"),
            "REPIC_HOME": str(tmp_path),
            "DASK_CONFIG": str(tmp_path / "etc" / "dask.yaml"),
        }
        env = {**user, **s3.variables, **access.client, **own}
        yield Team(tmp_path, env, ours, access, store)


def test_a_shell_names_the_server_by_these_variables() -> None:
    url = cluster_page.variable("PREFECT_API_URL")
    assert url.replace("10.0.0.5", "127.0.0.1") == Access(4200).url
    string = cluster_page.variable("PREFECT_SERVER_API_AUTH_STRING")
    assert cluster_page.variable("PREFECT_API_AUTH_STRING") == string


@pytest.mark.timeout(2400)
def test_two_workers_of_one_pool_a_kill_and_a_cluster(database: str, team: Team) -> None:
    storage = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"
    served = {
        server.DATABASE: database,
        "PREFECT_SERVER_API_AUTH_STRING": team.access.auth,
        storage: cluster_page.variable(storage),
    }
    store = team.store
    with ExitStack() as stack:
        serving = stack.enter_context(team.running("prefect server start", "", served))
        team.until(lambda: server.is_healthy(team.access.url) or serving.poll() is not None)
        team.run("prefect work-pool create")
        team.run("prefect deploy")
        team.secure_dask()
        workers = [
            stack.enter_context(
                team.running(
                    "prefect worker start",
                    "started",
                    {"PREFECT_HOME": str(team.folder / name), "PREFECT_WORKER_QUERY_SECONDS": "2"},
                    NAME=name,
                )
            )
            for name in ("one", "other")
        ]
        with store.leases.gc():  # which builds wait for, so that neither ends before both run
            for seed in (1, 2):
                team.build(f"{BUILD} --watch", seed, **{" --watch": ""})
            team.until(lambda: team.states() == ["RUNNING"] * 2)
        team.until(lambda: bool(store.files.find("parts")))
        kill(workers[0])
        team.until(lambda: team.states() == ["COMPLETED", "CRASHED"])
        done = store.manifest("dataset@v1").settings["examples"]["seed"]
        with team.dask("--nworkers"):
            team.build(f"{BUILD} .*--param runner=dask", 3 - done)
        assert team.states() == ["COMPLETED", "COMPLETED", "CRASHED"]
        assert store.versions("dataset") == [1, 2]
        first, second = (store.manifest(f"examples@v{number}").content for number in (1, 2))
        assert first != second
        assert verify(store) == []
        for running in (*workers, serving):
            kill(running)
    # `repic up` on the same database finds what the other server left in it.
    process = server.start(team.folder / "user", team.access, ui=False, database=database)
    try:
        server.wait_until_healthy(process, team.access.url)
        assert team.states() == ["COMPLETED", "COMPLETED", "CRASHED"]
    finally:
        process.stop()

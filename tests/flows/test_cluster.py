"""Builds on a real local Dask and a real local Ray, of which one worker is killed in the middle.

The commands of docs/cluster.md run as they stand there, but for addresses and paths.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.local.access import Access, free_port
from repic import config
from storage.integrity import verify
from storage.store import Store
from tests import real_photos
from tests.builds import Album, build
from tests.flows import cluster_page
from tests.flows.cluster_page import PATIENCE, Page, wait
from tests.flows.up import REPIC, install_database, processes_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

for package in ("prefect_dask", "prefect_ray"):
    pytest.importorskip(package, reason="the extras dask and ray are not installed")

COMMON = ("source.size=112", "runtime.threads=1")
CHANGES = ("source.count=400", "source.identities=60", *COMMON)
SMALLER = ("source.count=24", "source.identities=8", *COMMON)
SIDE = 96
"""Longer side of the real photos here; large ones take longer than the rest of this file."""

SMALL_SHARDS = ("runtime.batch_size=2", "detector.image_size=128", "runtime.threads=1")
"""A batch of the detector is always full: a large one would hold more padding than photos."""

LOCAL_PHOTOS = "repic build --images /data/photos .*--runner "

Identity = tuple[str, str]
"""Fingerprint and content of a dataset version."""


def identity(store: Path) -> Identity:
    dataset = Store.open(store).manifest("dataset@latest")
    return dataset.fingerprint, dataset.content


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """What a build in one process makes of the generated world."""
    location = tmp_path_factory.mktemp("plain") / "store"
    build(config.load("sample", CHANGES), Store.open(location, create=True))
    return identity(location)


@dataclass
class Building:
    """`repic build --runner ...` in a process of its own, and all processes that it starts."""

    process: subprocess.Popen[bytes]
    home: Path
    store: Path
    log: Path

    def workers(self, word: str) -> dict[int, str]:
        """Processes with a word in their command, by id."""
        return {pid: line for pid, line in processes_of(self.home).items() if word in line}

    def wait(self, ready: Callable[[], object]) -> None:
        wait(ready, self.process, self.log)

    def wait_until_nothing_is_left(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while left := processes_of(self.home):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)


@contextmanager
def building(
    folder: Path, user: dict[str, str], kind: str, changes: tuple[str, ...]
) -> Iterator[Building]:
    """Start the page's build on a local cluster, into the store of this folder."""
    home, store, log = folder / "prefect", folder / "store", folder / "log"
    env = {**user, "PREFECT_HOME": str(home), "OMP_NUM_THREADS": "1"}
    ours = {
        "--images /data/photos": "--profile sample",
        "/data/store": str(store),
        "--workers 4": "--workers 2",
    }
    (_, *words), _ = cluster_page.command(f"{LOCAL_PHOTOS}{kind} --workers", ours)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*REPIC, *words, *(f"--set={change}" for change in changes)],
            env=env,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Building(process, home, store, log)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        for pid in processes_of(home):
            os.kill(pid, signal.SIGKILL)


WORKING = {"dask": "spawn_main", "ray": "ray::shard"}
"""Engine -> what is in the command of a worker: of Dask always, of Ray while it computes."""


def kill_a_worker(running: Building, kind: str) -> None:
    """SIGKILL for a worker after the first shard with a model, while others are to do."""
    running.wait(lambda: list(running.store.glob("parts/detections/**/*.parquet")))
    running.wait(lambda: running.workers(WORKING[kind]))
    os.kill(max(running.workers(WORKING[kind])), signal.SIGKILL)
    assert running.process.poll() is None


def addresses_of(pids: set[int]) -> set[str]:
    """Addresses at which these processes listen, in hexadecimal as the kernel lists them."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(os.readlink(link))
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                found.add(words[1].partition(":")[0])
    return found


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_a_local_cluster_builds_the_same_though_a_worker_is_killed(
    kind: str, plain: Identity, tmp_path: Path, user: dict[str, str], api: Access
) -> None:
    with building(tmp_path, {**user, **api.client}, kind, CHANGES) as running:
        kill_a_worker(running, kind)
        if kind == "dask":  # Ray listens everywhere, and asks for its token instead
            assert addresses_of(set(processes_of(running.home))) == {"0100007F"}
        else:
            assert joins(running, **token_of(running))
            assert not joins(running)
        assert running.process.wait(PATIENCE) == 0, running.log.read_text()
        running.wait_until_nothing_is_left()
        assert "Traceback" not in running.log.read_text()
    assert identity(running.store) == plain
    assert verify(Store.open(running.store)) == []
    assert list((running.store / "tmp").iterdir()) == []


JOIN = """
import ray
ray.init(address={address!r}, log_to_driver=False)
print("joined")
"""


def joins(running: Building, **token: str) -> bool:
    """Whether a program of another user can use the Ray of a build, with its token or without."""
    [raylet] = running.workers("raylet/raylet").values()
    address = re.findall(r"--gcs-address=(\S+)", raylet)[0]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    try:
        done = subprocess.run(
            [sys.executable, "-c", JOIN.format(address=address)],
            env={**env, **(token or {"RAY_AUTH_MODE": "disabled"})},
            capture_output=True,
            text=True,
            timeout=PATIENCE if token else 15,
        )
    except subprocess.TimeoutExpired:  # it asks again and again
        return False
    return "joined" in done.stdout


def token_of(running: Building) -> dict[str, str]:
    """The token, from the environment of a process: other users of the machine cannot read it."""
    [raylet] = running.workers("raylet/raylet")
    variables = Path(f"/proc/{raylet}/environ").read_text().split("\0")
    return dict(one.split("=", 1) for one in variables if one.startswith("RAY_AUTH_"))


def test_nothing_of_a_local_cluster_outlives_its_build(
    tmp_path: Path, user: dict[str, str], database: Path
) -> None:
    """A kill with Ray, and meanwhile Ctrl-C with Dask: Ray's last processes need a minute."""
    with started(tmp_path / "ray", user, database, "ray") as killed:
        killed.process.kill()
        assert killed.process.wait(PATIENCE) == -signal.SIGKILL
        with started(tmp_path / "dask", user, database, "dask") as interrupted:
            # A terminal sends it to all processes of the command.
            os.killpg(interrupted.process.pid, signal.SIGINT)
            assert interrupted.process.wait(PATIENCE) == 130
            interrupted.wait_until_nothing_is_left()
        killed.wait_until_nothing_is_left()
    assert not list((interrupted.store / "tmp").iterdir())
    said = interrupted.log.read_text()
    assert said.endswith("Interrupted. Finished work is kept; run the same command again.\n")
    assert "Traceback" not in said
    kept = {path: path.stat().st_mtime_ns for path in interrupted.store.glob("parts/**/*.parquet")}
    assert kept
    build(config.load("sample", SMALLER), Store.open(interrupted.store))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "what was finished is used"
    assert verify(Store.open(interrupted.store)) == []


@contextmanager
def started(folder: Path, user: dict[str, str], database: Path, kind: str) -> Iterator[Building]:
    """A build with a server of its own, and a local cluster that has computed a shard."""
    install_database(database, folder / "prefect")
    with building(folder, user, kind, SMALLER) as running:
        running.wait(lambda: list(running.store.glob("parts/probes/**/*.parquet")))
        yield running


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Folders of real photos, made smaller, where they are; else generated ones.

    For most of them the owner says where the subject is: the detector looks at the others.
    """
    folder = tmp_path_factory.mktemp("real") / "photos"
    if real_photos.REAL is None:
        album: Album = request.getfixturevalue("album")
        shutil.copytree(album.folder / "photos", folder / "all")
        return folder
    real_photos.write(folder, SIDE)
    return folder


@pytest.fixture(scope="module")
def plain_photos(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """What a build in one process makes of these photos."""
    location = tmp_path_factory.mktemp("plain-photos") / "store"
    chosen = config.chosen_sources(str(photos), None, None)
    build(config.load("photos", SMALL_SHARDS, **chosen), Store.open(location, create=True))
    return identity(location)


@pytest.fixture
def page(tmp_path: Path, user: dict[str, str], api: Access, photos: Path) -> Iterator[Page]:
    home = tmp_path / "prefect"
    (tmp_path / "etc").mkdir()
    short = Path(tempfile.mkdtemp(prefix="repic-", dir="/tmp"))  # paths of sockets are short
    env = {**user, **api.client, "PREFECT_HOME": str(home), "HOME": str(tmp_path / "home")}
    port = str(free_port())
    ours = {
        "/etc/repic": str(tmp_path / "etc"),
        "/data/photos": str(photos),
        "/data/store": str(tmp_path / "store"),
        "10.0.0.5:8786": f"127.0.0.1:{port}",
        "10.0.0.5:6379": f"127.0.0.1:{port}",
        "--port 8786": f"--port {port}",
        "--port 6379": f"--port {port}",
        "--num-cpus 4": "--num-cpus 1",
        "10.0.0.5": "127.0.0.1",
        "10.0.0.6": "127.0.0.1",
        "--nworkers 4": "--nworkers 1",
    }
    try:
        yield Page(tmp_path, {**env, "RAY_TMPDIR": str(short)}, ours)
    finally:
        for pid in processes_of(home):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(short, ignore_errors=True)


def build_as_the_page_says(page: Page, kind: str) -> None:
    """Build the photos by the command of the page; one worker is killed, nothing is lost."""
    command, env = page.command(f"{LOCAL_PHOTOS}{kind} --address")
    command += [f"--set={change}" for change in SMALL_SHARDS]
    log = page.folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, cwd=page.folder, stdout=output, stderr=subprocess.STDOUT
        )
    running = Building(process, page.folder / "prefect", page.folder / "store", log)
    kill_a_worker(running, kind)
    assert process.wait(PATIENCE) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def test_the_page_leads_to_a_dask_cluster(page: Page, plain_photos: Identity) -> None:
    page.secure_dask()
    with page.dask("--nworkers", "--resources"):
        scheme, address = page.command(f"{LOCAL_PHOTOS}dask --address")[0][-1].split("://")
        for name in ("tcp", scheme):
            refused(f"{name}://{address}")
        build_as_the_page_says(page, "dask")
    assert identity(page.folder / "store") == plain_photos


def refused(address: str) -> None:
    """Nobody joins without the certificate."""
    import distributed
    from distributed.security import Security

    security = Security.temporary() if address.startswith("tls") else None
    with pytest.raises(OSError):  # noqa: PT011, whatever TLS says
        distributed.Client(address, security=security, timeout=3)


def test_the_page_leads_to_a_ray_cluster(page: Page, plain_photos: Identity) -> None:
    page.run("ray get-auth-token")
    with (
        page.running("ray start --head", "Ray runtime started"),
        page.running("ray start --address", "Ray runtime started"),
    ):
        build_as_the_page_says(page, "ray")
    assert identity(page.folder / "store") == plain_photos

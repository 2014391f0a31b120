"""Builds on a real local Dask and a real local Ray, of which one worker is killed in the middle.

The commands of docs/cluster.md run as they stand there, but for addresses and paths.
"""

from __future__ import annotations

import os
import re
import shlex
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

from flows.local.access import free_port
from repic import config
from storage.integrity import verify
from storage.store import Store
from tests.builds import Album, build
from tests.flows.up import REPIC, processes_of
from tests.shared_data import shared_folder
from tests.test_docs import DOCS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

for package in ("prefect_dask", "prefect_ray"):
    pytest.importorskip(package, reason="the extras dask and ray are not installed")

CHANGES = ("source.count=160", "source.identities=24", "runtime.threads=1")
WORLD = ["--profile", "sample", *(f"--set={change}" for change in CHANGES)]
PAGE = (DOCS / "cluster.md").read_text(encoding="utf-8")
REAL = shared_folder("dreambooth")
OBJECTS = ("cat", "clock", "dog")
"""Folders of the real photos that are built; all of them take longer than the rest of this file."""

SMALL_SHARDS = "runtime.batch_size=4"

PATIENCE = 900.0

Identity = tuple[str, str]
"""Fingerprint and content of a dataset version."""


def identity(store: Path) -> Identity:
    dataset = Store.open(store).manifest("dataset@latest")
    return dataset.fingerprint, dataset.content


def wait(ready: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


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
def building(folder: Path, user: dict[str, str], *arguments: str) -> Iterator[Building]:
    """Start `repic build` into the store of this folder, in an environment of its own."""
    home, store, log = folder / "prefect", folder / "store", folder / "log"
    env = {**user, "PREFECT_HOME": str(home), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*REPIC, "build", *arguments, "--store", str(store)],
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
    kind: str, plain: Identity, tmp_path: Path, user: dict[str, str], database: Path
) -> None:
    (tmp_path / "prefect").mkdir(mode=0o700)
    shutil.copy(database, tmp_path / "prefect" / "prefect.db")
    with building(tmp_path, user, *WORLD, "--runner", kind, "--workers", "2") as running:
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


@pytest.mark.parametrize(("kind", "number"), [("dask", signal.SIGINT), ("ray", signal.SIGKILL)])
def test_nothing_of_a_local_cluster_outlives_its_build(
    kind: str, number: signal.Signals, tmp_path: Path, user: dict[str, str], database: Path
) -> None:
    (tmp_path / "prefect").mkdir(mode=0o700)
    shutil.copy(database, tmp_path / "prefect" / "prefect.db")
    with building(tmp_path, user, *WORLD, "--runner", kind, "--workers", "2") as running:
        running.wait(lambda: list(running.store.glob("parts/probes/**/*.parquet")))
        running.process.send_signal(number)
        code = running.process.wait(PATIENCE)
        running.wait_until_nothing_is_left()
    left = list((running.store / "tmp").iterdir())
    assert (code, left) == (130, []) if number == signal.SIGINT else code == -number


@dataclass
class Page:
    """docs/cluster.md as it is run here: all on this machine, in one folder, on free ports."""

    folder: Path
    env: dict[str, str]
    port: int

    def here(self, text: str) -> str:
        """A text of the page with our addresses and paths."""
        for theirs, ours in {
            "/etc/repic": str(self.folder / "etc"),
            "/data/photos": str(self.folder / "photos"),
            "/data/store": str(self.folder / "store"),
            "10.0.0.5:8786": f"127.0.0.1:{self.port}",
            "10.0.0.5:6379": f"127.0.0.1:{self.port}",
            "--port 8786": f"--port {self.port}",
            "--port 6379": f"--port {self.port} --num-cpus 1",
            "--node-ip-address 10.0.0.6": "--node-ip-address 10.0.0.6 --num-cpus 1",
            "10.0.0.5": "127.0.0.1",
            "10.0.0.6": "127.0.0.1",
            "--nworkers 4": "--nworkers 2",
        }.items():
            text = text.replace(theirs, ours)
        return text

    def command(self, pattern: str) -> tuple[list[str], dict[str, str]]:
        """The only command of the page that matches, and its environment."""
        [line] = re.findall(rf"^    (.*{pattern}.*)$", PAGE, re.M)
        words = shlex.split(self.here(line), comments=True)
        first = next(number for number, word in enumerate(words) if "=" not in word)
        own = dict(word.split("=", 1) for word in words[:first])
        program, *rest = words[first:]
        beside = Path(sys.executable).with_name(program)
        return [str(beside) if beside.exists() else program, *rest], {**self.env, **own}

    def run(self, pattern: str) -> None:
        """Run a command of the page to its end."""
        command, env = self.command(pattern)
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=PATIENCE)

    @contextmanager
    def running(self, pattern: str, said: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command of the page meanwhile; it has started when its log has these words."""
        command, env = self.command(pattern)
        log = self.folder / f"log-{abs(hash(pattern))}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=env, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            wait(lambda: said in log.read_text(), process, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


@pytest.fixture
def page(tmp_path: Path, user: dict[str, str], database: Path) -> Iterator[Page]:
    home = tmp_path / "prefect"
    home.mkdir(mode=0o700)
    shutil.copy(database, home / "prefect.db")
    (tmp_path / "etc").mkdir()
    short = Path(tempfile.mkdtemp(prefix="repic-", dir="/tmp"))  # paths of sockets are short
    env = {**user, "PREFECT_HOME": str(home), "HOME": str(tmp_path / "home")}
    try:
        yield Page(tmp_path, {**env, "RAY_TMPDIR": str(short)}, free_port())
    finally:
        for pid in processes_of(home):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(short, ignore_errors=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, album: Album) -> Path:
    """Folders of real photos where they are, else generated ones."""
    folder = tmp_path_factory.mktemp("real")
    if REAL is None:
        shutil.copytree(album.folder / "photos", folder / "photos" / "all")
    else:
        for name in OBJECTS:
            shutil.copytree(REAL / name, folder / "photos" / name)
    return folder / "photos"


def build_as_the_page_says(page: Page, photos: Path, kind: str) -> None:
    """Build the photos by the command of the page; one worker is killed, nothing is lost."""
    os.symlink(photos, page.folder / "photos")
    command, env = page.command(f"--images /data/photos .*--runner {kind} --address")
    command += [f"--set={SMALL_SHARDS}"]
    where = page.folder / "prefect"
    log = page.folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, cwd=page.folder, stdout=output, stderr=subprocess.STDOUT
        )
    running = Building(process, where, page.folder / "store", log)
    kill_a_worker(running, kind)
    assert process.wait(PATIENCE) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    location = page.folder / "plain"
    settings = config.load(
        "photos", [SMALL_SHARDS], **config.chosen_sources(str(page.folder / "photos"), None, None)
    )
    build(settings, Store.open(location, create=True))
    assert identity(page.folder / "store") == identity(location)


def test_the_page_leads_to_a_dask_cluster(page: Page, photos: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    page.run("openssl req")
    [yaml] = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    (page.folder / "etc" / "dask.yaml").write_text(page.here(yaml))
    with (
        page.running("dask scheduler", "Scheduler at:"),
        page.running("dask worker .*--nworkers", "Starting established connection"),
    ):
        for address in (f"tcp://127.0.0.1:{page.port}", f"tls://127.0.0.1:{page.port}"):
            refused(address)
        build_as_the_page_says(page, photos, "dask")


def refused(address: str) -> None:
    """Nobody joins without the certificate."""
    import distributed
    from distributed.security import Security

    security = Security.temporary() if address.startswith("tls") else None
    with pytest.raises(OSError):  # noqa: PT011, whatever TLS says
        distributed.Client(address, security=security, timeout=3)


def test_the_page_leads_to_a_ray_cluster(page: Page, photos: Path) -> None:
    page.run("ray get-auth-token")
    with (
        page.running("ray start --head", "Ray runtime started"),
        page.running("ray start --address", "Ray runtime started"),
    ):
        build_as_the_page_says(page, photos, "ray")

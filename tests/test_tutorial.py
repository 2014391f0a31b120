"""The commands of docs/tutorial.md run in their order, in a folder that holds photos only."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from repic import config
from repic.mining.splits import split_of
from repic.sample import photo_files
from repic.sample.world import World
from storage.store import Store
from tests.flows.up import new_user
from tests.ports import free_port
from tests.test_docs import DOCS

PATIENCE = 600.0
"""Seconds that anything may take on a busy machine."""
THINGS, PHOTOS = 8, 32
SHORTER = {
    "repic build --profile sample": "--set source.count=80 --set source.identities=20",
    "repic train": "--set trainer.max_steps=1 --set train.measure.per_objective=8",
    "repic evaluate run": "--set evaluate.photos=8 --set evaluate.protocols=[mixed]",
}
"""What is added to commands, which take minutes as they stand there."""
SERVERS = ("repic studio", "repic up")


def steps() -> list[str]:
    """The commands of the page, without their comments."""
    lines = re.findall(r"^    ((?:repic|prefect) .+)$", (DOCS / "tutorial.md").read_text(), re.M)
    return [line.partition("  #")[0].strip() for line in lines]


def write_photos(folder: Path) -> None:
    """Photos of one thing each, in a folder for each thing; one of them in the wrong one."""
    world = World(168, 5)
    plans = world.dataset(
        3 * PHOTOS, THINGS, lambda name: split_of(name, config.SplitSettings()), 0.0
    )
    entries = photo_files.read(photo_files.write(world, plans, folder / "world"))
    alone = [entry for entry in entries if len(entry["objects"]) == 1][:PHOTOS]
    for entry in alone:
        target = folder / "photos" / entry["objects"][0]["identity"] / entry["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "world" / "photos" / entry["file"], target)
    first, second = sorted((folder / "photos").iterdir())[:2]
    wrong = min(first.iterdir())
    wrong.rename(second / wrong.name)
    shutil.rmtree(folder / "world")


def listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Reader:
    """Somebody who types the commands of the page."""

    folder: Path
    env: dict[str, str]

    def run(self, step: str) -> str:
        """What a command prints; it must end well."""
        more = next((more for start, more in SHORTER.items() if step.startswith(start)), "")
        done = subprocess.run(
            self._words(f"{step} {more}"),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self, step: str) -> Iterator[int]:
        """The port of a command that runs until Ctrl-C."""
        port = free_port()
        log = self.folder / "server.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*self._words(step), "--port", str(port)],
                cwd=self.folder,
                env=self.env,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + PATIENCE
        try:
            while "Ctrl-C" not in log.read_text() or not listens(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield port
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
        finally:
            process.kill()

    def _words(self, step: str) -> list[str]:
        program, *words = shlex.split(step)
        module = {"repic": "repic.cli", "prefect": "prefect"}[program]
        return [sys.executable, "-m", module, *words]


def decide(doubtful: Path) -> int:
    """Give every line of the file a decision, as a person would; their number."""
    with doubtful.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"decision": "reject", "reviewer": "ann"}
    if rows:
        with doubtful.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return len(rows)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_tutorial(tmp_path: Path) -> None:
    env = new_user(tmp_path / "user") | {"PYTHONPATH": os.pathsep.join(sys.path)}
    reader = Reader(tmp_path / "work", env)
    reader.folder.mkdir()
    write_photos(reader.folder)
    todo = steps()
    assert len(todo) > 20
    decided = 0
    while not todo[0].startswith("repic up"):
        step = todo.pop(0)
        if step.startswith(SERVERS):
            with reader.serving(step) as port:
                page = httpx.get(f"http://127.0.0.1:{port}/pairs", timeout=PATIENCE)
                assert page.is_success
            continue
        printed = reader.run(step)
        if step.startswith("repic reviews export"):
            decided = decide(reader.folder / "doubtful.csv")
        if step.startswith("repic build --images") and "--dry-run" not in step:
            last = printed
    store = Store.open(reader.folder / "repic-store")
    assert decided, "the photo in the wrong folder was not doubted"
    assert "Published" in last
    assert len(store.versions("dataset")) == 2
    assert store.read("reviews@latest").num_rows == decided
    assert (reader.folder / "report.html").stat().st_size > 10_000
    trained = Store.open(reader.folder / "sample-store")
    assert len(trained.versions("checkpoint")) == 1
    assert len(trained.versions("evaluation")) == 2
    at_night(reader, todo, store)


def at_night(reader: Reader, todo: list[str], store: Store) -> None:
    """The last part: a server, a run on it, and its schedule."""
    printed = ""
    with reader.serving(todo[0]):
        for step in todo[1:]:
            ids = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", printed)
            printed = reader.run(step.replace("SCHEDULE_ID", ids[0] if ids else ""))
    assert len(store.versions("dataset")) == 2, "there was nothing new"
    assert "SCHEDULE_ID" in todo[-1]

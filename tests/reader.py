"""Somebody who has the wheel and the site, and types the commands of its pages as they stand."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from repic import config
from repic.mining.splits import split_of
from repic.sample import photo_files
from repic.sample.world import World
from tests.installed import PATIENCE, Installed
from tests.pipeline.test_review_tasks import annotated
from tests.ports import free_port

SHORTER = {
    "repic build --profile sample": "--set source.count=80 --set source.identities=20",
    "repic train": "--set trainer.max_steps=1 --set train.measure.per_objective=8",
    "repic evaluate run": "--set evaluate.photos=8 --set evaluate.protocols=[mixed]",
}
"""What is added to commands, which take minutes as they stand there."""
PAGES = {"repic studio": "/pairs", "repic up": "", "repic --log-format json up": ""}
"""Commands that run until Ctrl-C, and a page that the reader opens."""


@dataclass
class Reader:
    """A shell in one folder, and what its user does by hand.

    Attributes:
        more: Beginning of a command -> what this reader adds to it.
        instead: What a page names as an example -> what this reader has.
        by_hand: Beginning of a command -> what the reader does after it, in the folder.
    """

    installed: Installed
    folder: Path
    env: dict[str, str]
    more: dict[str, str] = field(default_factory=lambda: dict(SHORTER))
    instead: dict[str, str] = field(default_factory=dict)
    by_hand: dict[str, Callable[[Path], Any]] = field(default_factory=dict)
    port: int = 0

    def read(self, commands: Iterable[str]) -> dict[str, str]:
        """Type commands in their order; what each printed. Servers run until the last is done."""
        printed = {}
        with ExitStack() as servers:
            for command in commands:
                if _of(PAGES, command) is not None:
                    self.port = servers.enter_context(self.serving(command))
                    continue
                printed[command] = self.run(command)
                if act := _of(self.by_hand, command):
                    act(self.folder)
        return printed

    def run(self, command: str) -> str:
        """What a command prints; it must end well."""
        done = subprocess.run(
            self._typed(command),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self, command: str) -> Iterator[int]:
        """The port of a command that runs until Ctrl-C."""
        port, log = free_port(), self.folder / "server.txt"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self._typed(command, f"--port {port}"),
                cwd=self.folder,
                env=self.env,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + PATIENCE
        try:
            while "Ctrl-C" not in log.read_text() or not _listens(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            if page := _of(PAGES, command):
                answer = httpx.get(f"http://127.0.0.1:{port}{page}", timeout=PATIENCE)
                assert answer.is_success
            yield port
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)
        finally:
            process.kill()

    def _typed(self, command: str, more: str = "") -> list[str]:
        line, comment, rest = command.partition("  #")
        for shown, own in self.instead.items():
            line = line.replace(shown, own)
        added = _of(self.more, command) or ""
        # `exec`, so that the signal of Ctrl-C reaches the program and not only its shell.
        return ["bash", "-c", f"exec {line} {added} {more} {comment}{rest}"]


def _of(table: Mapping[str, Any], command: str) -> Any:
    """What a table has for the beginning of a command."""
    return next((value for start, value in table.items() if command.startswith(start)), None)


def _listens(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def write_photos(folder: Path, things: int = 8, planned: int = 96) -> None:
    """Photos of one thing each, in a folder for each thing; one in the wrong one, one elsewhere.

    Writes `photos`, and `later.jpg`, another photo of a thing.
    """
    world = World(168, 5)
    splits = config.SplitSettings()
    plans = world.dataset(planned, things, lambda name: split_of(name, splits), 0.0)
    entries = photo_files.read(photo_files.write(world, plans, folder / "world"))
    alone = [entry for entry in entries if len(entry["objects"]) == 1]
    assert len(alone) > 3 * things
    for entry in alone[:-1]:
        target = folder / "photos" / entry["objects"][0]["identity"] / entry["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "world" / "photos" / entry["file"], target)
    shutil.copy(folder / "world" / "photos" / alone[-1]["file"], folder / "later.jpg")
    first, second = sorted((folder / "photos").iterdir())[:2]
    wrong = min(first.iterdir())
    wrong.rename(second / wrong.name)
    shutil.rmtree(folder / "world")


def edit(file: Path, change: Callable[[list[dict[str, str]]], None]) -> None:
    """Change the rows of a CSV file in place."""
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert rows, "no pair is doubtful"
    change(rows)
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def decide(folder: Path) -> None:
    """Reject every doubtful pair."""

    def reject(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row |= {"decision": "reject", "reviewer": "ann"}

    edit(folder / "doubtful.csv", reject)


def withdraw_one(folder: Path) -> None:
    """Withdraw the first decision."""
    edit(folder / "doubtful.csv", lambda rows: rows[0].update(decision=""))


def annotate(folder: Path) -> None:
    """Accept every task, and write what Label Studio exports."""
    tasks = json.loads((folder / "tasks.json").read_text())
    assert (folder / "tasks.xml").exists()
    done = [annotated(task, "accept", {"id": 3, "email": "ben@example.org"}) for task in tasks]
    (folder / "exported.json").write_text(json.dumps(done))

"""Commands of docs/cluster.md, for tests that run them as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.test_docs import DOCS

TEXT = (DOCS / "cluster.md").read_text(encoding="utf-8")

PATIENCE = 900.0
"""Seconds that anything may take on a busy machine."""


def line(pattern: str, ours: Mapping[str, str], page: str = "cluster.md") -> str:
    """The only command of the page that matches, as it is typed.

    Args:
        ours: Texts of the page -> what stands for them here, such as addresses and folders.
        page: Another page of the docs.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    [found] = re.findall(rf"^ {{4,8}}((?:.* )?{pattern}.*)$", text, re.M)
    for theirs, here in ours.items():
        found = found.replace(theirs, here)
    return str(found)


def command(
    pattern: str, ours: Mapping[str, str], page: str = "cluster.md"
) -> tuple[list[str], dict[str, str]]:
    """Words and environment of a command, found as by `line`."""
    words = shlex.split(line(pattern, ours, page), comments=True)
    first = next(number for number, word in enumerate(words) if "=" not in word)
    return words[first:], dict(word.split("=", 1) for word in words[:first])


def variable(name: str) -> str:
    """What `export NAME=...` of the page sets."""
    [value] = re.findall(rf"^ {{4}}export (?:.* )?{name}=(\S+)", TEXT, re.M)
    return str(value)


def wait(ready: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait while a process runs."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started, as a machine that goes away."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass
class Page:
    """The page as it is run here: all on this machine, in one folder, on free ports."""

    folder: Path
    env: dict[str, str]
    ours: dict[str, str]
    """Texts of the page -> what stands for them here."""

    def command(self, pattern: str, **ours: str) -> tuple[list[str], dict[str, str]]:
        """The only command of the page that matches, and its environment."""
        (program, *rest), own = command(pattern, {**self.ours, **ours})
        beside = Path(sys.executable).with_name(program)
        return [str(beside) if beside.exists() else program, *rest], {**self.env, **own}

    def run(self, pattern: str, *more: str, **ours: str) -> str:
        """Run a command of the page to its end, with more arguments; what it prints."""
        words, env = self.command(pattern, **ours)
        done = subprocess.run(
            [*words, *more],
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(
        self, pattern: str, said: str, more: Mapping[str, str] | None = None, **ours: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command of the page meanwhile; it has started when its log has these words.

        Args:
            more: Variables of its environment.
        """
        words, env = self.command(pattern, **ours)
        log = self.folder / f"log-{len(list(self.folder.glob('log-*')))}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                words,
                env={**env, **(more or {})},
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait(lambda: said in log.read_text(), process, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                kill(process)

    def secure_dask(self) -> None:
        """Make the certificate, and write the configuration."""
        if not shutil.which("openssl"):
            pytest.skip("openssl is not installed")
        self.run("openssl req")
        [yaml] = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
        etc = self.ours["/etc/repic"]
        Path(etc, "dask.yaml").write_text(yaml.replace("/etc/repic", etc))

    @contextmanager
    def dask(self, *workers: str) -> Iterator[None]:
        """A secured cluster.

        Args:
            workers: An option of the command of each worker.
        """
        with ExitStack() as stack:
            stack.enter_context(self.running("dask scheduler", "Scheduler at:"))
            for option in workers:
                started = "Starting established connection"
                stack.enter_context(self.running(f"dask worker .*{option}", started))
            yield

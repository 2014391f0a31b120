"""Processes that belong to us: each has a group of its own, a log file, and an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

STOP_TIMEOUT = 10.0
"""Seconds that a process gets to end by itself before it is killed."""

LOG_TAIL = 15
"""Lines of a log that are shown when its process died."""


class ProcessExitedError(Exception):
    """A process ended that should have gone on; the message has the end of its log."""


class ChildProcess:
    """A running process. Its output goes to `log`; it ends with us, even if we are killed."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.local.parent_death", *command],
                env=dict(env),
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def check(self) -> None:
        """Raises: ProcessExitedError."""
        if (code := self.returncode) is not None:
            raise ProcessExitedError(f"The {self.name} ended with code {code}. {self.log_tail()}")

    def done(self) -> bool:
        """Whether it has ended well.

        Raises:
            ProcessExitedError: it failed.
        """
        if self.returncode:
            self.check()
        return self.returncode == 0

    def wait(self, seconds: float) -> None:
        """Wait until it ends, at most this long."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def log_tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n  ".join([f"The end of {self.log}:", *lines[-LOG_TAIL:]])

    def stop(self) -> None:
        """End it and all that it started. Returns when they are gone."""
        if self.returncode is None:
            self._signal(signal.SIGTERM)
            self.wait(STOP_TIMEOUT)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        # macOS: EPERM for a group of zombies
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal interrupt like Ctrl-C; while things are ended, nothing does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Child processes, each with a process group and a log file of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from flows.local.parent_death import PARENT
from repic.errors import PrefectServerError

STOP_TIMEOUT = 10.0
"""Seconds between SIGTERM and SIGKILL."""

SAFE = {"PYTHONSAFEPATH": "1"}
"""Python imports no module from the folder that a process happens to work in."""

LOG_TAIL = 15
"""Number of log lines in the message about a process that ended."""


class ProcessExitedError(PrefectServerError):
    """A process ended unexpectedly; the message has the end of its log."""


class ChildProcess:
    """A process that ends with this one, even if this one is killed. It writes to `log`.

    Args:
        descriptors: Open files that it inherits under the same numbers.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        descriptors: Collection[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.local.parent_death", *command],
                env={**env, **SAFE, PARENT: str(os.getpid())},
                pass_fds=descriptors,
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def returncode(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raise ProcessExitedError unless it runs."""
        if (code := self.returncode) is not None:
            raise ProcessExitedError(f"The {self.name} ended with code {code}. {self.log_tail()}")

    def done(self) -> bool:
        """Whether it has ended with code 0.

        Raises:
            ProcessExitedError: it ended with another code.
        """
        if self.returncode:
            self.check()
        return self.returncode == 0

    def wait(self, seconds: float) -> None:
        """Wait at most this long for its end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def log_tail(self) -> str:
        """The last lines of the log, below its path."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n  ".join([f"The end of {self.log}:", *lines[-LOG_TAIL:]])

    def stop(self) -> None:
        """End the process and its process group; return when the process is gone."""
        if self.returncode is None:
            self._signal(signal.SIGTERM)
            self.wait(STOP_TIMEOUT)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        # macOS reports EPERM for a group of zombies
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, SIGHUP and Ctrl-C, once; later signals are ignored."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

"""Functions in processes forked from this one, which has the imports and models already."""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE = 600.0
"""Seconds after which a process counts as hanging."""

_END_WITH_PARENT = 1


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        kind: `done`, `raised`, `killed` (by a signal), or `hangs`.
        value: What the function returned.
        error: Type and message of the exception.
        trace: Its traceback.
    """

    kind: str
    value: Any = None
    error: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Child:
    """A running process, and the pipe that its outcome comes through."""

    pid: int
    pipe: int


def begin(function: Callable[[], object], loud: bool = False) -> Child:
    """Run a function in a forked process; unless `loud`, nothing that it prints is seen."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(writer)
        return Child(pid, reader)
    os.close(reader)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    _renew_threads()
    if not loud:
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
    with os.fdopen(writer, "wb") as pipe:
        try:
            outcome = Outcome("done", function())
        except BaseException as error:
            outcome = Outcome("raised", None, f"{type(error).__name__}: {error}", _trace())
        pickle.dump(outcome, pipe)
    os._exit(0)


def finish(child: Child, patience: float = PATIENCE) -> Outcome:
    """Wait for a process; kill it if it takes too long."""
    data, until, hangs = b"", time.monotonic() + patience, False
    with os.fdopen(child.pipe, "rb", buffering=0) as pipe:
        while not hangs:
            left = until - time.monotonic()
            hangs = left <= 0 or not select.select([pipe], [], [], left)[0]
            chunk = b"" if hangs else pipe.read(1 << 20)
            if not chunk:
                break
            data += chunk
    if hangs:
        os.kill(child.pid, signal.SIGKILL)
    _, status = os.waitpid(child.pid, 0)
    if hangs:
        return Outcome("hangs")
    if os.WIFSIGNALED(status):
        return Outcome("killed", error=signal.Signals(os.WTERMSIG(status)).name)
    return pickle.loads(data) if data else Outcome("killed", error=f"exit {status}")


def ended(children: Mapping[str, Child], seconds: float = 1.0) -> list[str]:
    """Names of the processes that have an outcome, after waiting for one of them."""
    ready, _, _ = select.select([child.pipe for child in children.values()], [], [], seconds)
    return [name for name, child in children.items() if child.pipe in ready]


def forked(function: Callable[[], object], kill_after: float | None = None) -> Outcome:
    """Run a function in a forked process, and kill it after some seconds if asked to."""
    child = begin(function)
    if kill_after is not None and not select.select([child.pipe], [], [], kill_after)[0]:
        os.kill(child.pid, signal.SIGKILL)
    return finish(child)


def _renew_threads() -> None:
    """Let PyTorch make the threads that a fork does not copy, before two threads ask for them.

    The first call after a fork replaces the pool of the parent; a second one at the same moment
    finds none ("Invalid thread pool!", caffe2/utils/threadpool/pthreadpool-cpp.cc).
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(torch.get_num_threads())


def _trace() -> str:
    return "".join(traceback.format_exc().splitlines(keepends=True)[-12:])

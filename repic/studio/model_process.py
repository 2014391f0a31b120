"""Models run in a process of their own, one task after another.

It starts at the first task and ends when nothing was asked for a while, which gives all of its
memory back. One task runs and one may wait; a third is told to come again. A task that takes too
long ends with the process.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from repic.errors import RepicError
from repic.models.shipped import VLMS
from repic.studio.model_work import ModelTask, serve_tasks
from storage.store import Store

SECONDS = 300
"""Time of a task, with the loading of its model."""

IDLE = 600
"""Seconds without a task after which the process ends."""

AT_ONCE = 2
"""Tasks that run or wait."""


class ModelProcessError(RepicError):
    """A task that failed, or took too long."""


class ModelBusyError(RepicError):
    """Another task runs and one waits."""


def models_of(store: Store) -> list[str]:
    """Models to choose from: checkpoints of the store, the newest first, and the shipped ones."""
    numbers = store.versions("checkpoint")[::-1]
    return [*(f"checkpoint@v{number}" for number in numbers), *reversed(VLMS)]


class ModelProcess:
    """The process. Threads may share it."""

    def __init__(self, location: str, idle: float = IDLE) -> None:
        """
        Args:
            location: Of the store that has the checkpoints.
        """
        self._location, self._idle = location, idle
        self._places, self._turn = threading.BoundedSemaphore(AT_ONCE), threading.Lock()
        self._changing, self._is_closed = threading.Lock(), False
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._timer: threading.Timer | None = None

    def ask(self, task: ModelTask, seconds: float = SECONDS) -> Any:
        """The answer of a task, after the one before it.

        Raises:
            ModelBusyError: two other tasks are there.
            ModelProcessError: it failed, or took more than `seconds`.
        """
        if not self._places.acquire(blocking=False):
            raise ModelBusyError(
                "The model is busy: one answer is being made and another one waits. Try again in "
                "a moment."
            )
        try:
            with self._turn:
                return self._answer(task, seconds)
        finally:
            self._places.release()

    def close(self) -> None:
        """End the process for good; a task that runs or waits fails."""
        with self._changing:
            self._is_closed = True
            if self._process:
                self._process.kill()

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """Of the application: the process ends with it."""
        yield
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the process, if one runs."""
        return self._process.pid if self._process else None

    def _answer(self, task: ModelTask, seconds: float) -> Any:
        if self._is_closed:
            raise ModelProcessError("The studio is stopping.")
        if self._timer:
            self._timer.cancel()
        pipe = self._pipe if self._pipe and self._process and self._process.is_alive() else None
        try:
            pipe = pipe or self._start()
            pipe.send(task)
            if not pipe.poll(seconds):
                raise ModelProcessError(
                    f"The answer took more than {seconds:g} s and was stopped: choose a smaller "
                    "model, or a machine with a GPU."
                )
            is_answer, content = pipe.recv()
        except (EOFError, OSError):
            self._end()
            raise ModelProcessError(
                "The process of the model ended without an answer; it may have needed too much "
                "memory: choose a smaller model."
            ) from None
        except BaseException:
            self._end()
            raise
        self._end_when_idle()
        if not is_answer:
            raise ModelProcessError(content)
        return content

    def _start(self) -> Connection:
        self._end()
        context = multiprocessing.get_context("spawn")
        pipe, others = context.Pipe()
        process = context.Process(
            target=serve_tasks, args=(others, self._location), name="studio model", daemon=True
        )
        with self._changing:
            if self._is_closed:
                raise ModelProcessError("The studio is stopping.")
            process.start()
            self._process, self._pipe = process, pipe
        others.close()
        return pipe

    def _end(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._process:
            self._process.kill()
            self._process.join()
        if self._pipe:
            self._pipe.close()
        self._process = self._pipe = self._timer = None

    def _end_when_idle(self) -> None:
        def end() -> None:
            with self._turn:
                if self._timer is timer:  # no task came meanwhile
                    self._end()

        self._timer = timer = threading.Timer(self._idle, end)
        timer.daemon = True
        timer.start()

"""Leases of running processes: builds and garbage collectors.

A lease is a small file with a heartbeat. Each process writes its own lease before it reads those of
others, so of two concurrent processes at least one sees the other: a collector that sees a build
deletes nothing, and a build that sees a collector waits until that has finished.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, RLock, Thread
from typing import Literal

from pydantic import Field

from storage.documents import Frozen
from storage.errors import StoreError
from storage.files import Files

FOLDER = "leases"
HEARTBEAT = timedelta(minutes=1)
STALE = timedelta(hours=1)
"""A lease with an older heartbeat is void: its process hangs, or its host is gone."""

PATIENCE = timedelta(minutes=10)
"""Time that a build waits for a garbage collector."""

Role = Literal["build", "gc"]


def _now() -> datetime:
    return datetime.now(UTC)


class Lease(Frozen):
    """Content of a lease file."""

    role: Role
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    pid: int = Field(default_factory=os.getpid)
    host: str = Field(default_factory=socket.gethostname)
    started: datetime = Field(default_factory=_now)
    heartbeat: datetime = Field(default_factory=_now)

    @property
    def path(self) -> str:
        """Path of its file, relative to the store."""
        return f"{FOLDER}/{self.id}.json"

    @property
    def live(self) -> bool:
        """Whether its process may still be running."""
        if _now() - self.heartbeat > STALE:
            return False
        return self.host != socket.gethostname() or _alive(self.pid)

    def __str__(self) -> str:
        return f"{self.role} of process {self.pid} on {self.host} since {self.started:%F %T} UTC"


class Leases:
    """The leases of one store. Nested build leases of a process share one file."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = RLock()
        self._depth = 0
        self._exit = Event()
        self._held: Lease | None = None

    def find(self) -> list[Lease]:
        """All leases, live or stale."""
        leases = []
        for path in self._files.find(FOLDER):
            try:
                leases.append(Lease.model_validate_json(self._files.read(path)))
            except FileNotFoundError:  # released by its process
                continue
        return leases

    def others(self, own: Lease, role: Role | None = None) -> list[Lease]:
        """Live leases except `own`, of one role or of both."""
        return [
            lease
            for lease in self.find()
            if lease.id != own.id and role in (None, lease.role) and lease.live
        ]

    @contextmanager
    def build(self) -> Iterator[None]:
        """Hold a build lease, so that gc deletes nothing. Re-entrant, also across threads.

        Raises:
            StoreError: a garbage collector holds the store for longer than PATIENCE.
        """
        with self._lock:
            if self._depth == 0:
                self._held, self._exit = self._start("build")
                try:
                    self._await_collector(self._held)
                except BaseException:
                    self._stop(self._held, self._exit)
                    raise
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0 and self._held:
                    self._stop(self._held, self._exit)

    @contextmanager
    def gc(self) -> Iterator[list[Lease]]:
        """Hold a lease of a garbage collector; yields the live leases that prevent deletion."""
        lease, ended = self._start("gc")
        try:
            yield self.others(lease)
        finally:
            self._stop(lease, ended)

    def _start(self, role: Role) -> tuple[Lease, Event]:
        lease, ended = Lease(role=role), Event()
        self._write(lease)
        Thread(target=self._beat, args=(lease, ended), daemon=True, name=f"lease-{role}").start()
        return lease, ended

    def _stop(self, lease: Lease, ended: Event) -> None:
        with self._lock:  # so that no heartbeat follows the removal
            ended.set()
            self._files.remove(lease.path)

    def _beat(self, lease: Lease, ended: Event) -> None:
        while not ended.wait(HEARTBEAT.total_seconds()):
            with self._lock:
                if not ended.is_set():
                    self._write(lease.model_copy(update={"heartbeat": _now()}))

    def _write(self, lease: Lease) -> None:
        self._files.replace(lease.path, lease.model_dump_json().encode())

    def _await_collector(self, own: Lease) -> None:
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while collectors := self.others(own, "gc"):
            if time.monotonic() > deadline:
                raise StoreError(f"{collectors[0]} holds the store: wait for it, or end it.")
            time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

"""Leases of running processes: builds and garbage collectors.

A lease is a small file. Each process writes its own lease before it reads those of others, so of
two concurrent processes at least one sees the other: a collector that sees a build deletes nothing,
and a build that sees a collector waits until that has finished.

A lease ends when its process removes it. What a killed process leaves is void at once if the kernel
that ran it says that it has ended; see `storage.processes`. From any other machine or container
that cannot be known, and no clock tells: that of another machine may be wrong, and a suspended
process goes on later. Such a lease is live until a person forgets it. The same holds for one that
cannot be read, and for those of the first format, which name a host and a pid only. The heartbeat
is information for that person, and nothing else.

Should the process of a forgotten lease go on after all, it finds its lease gone and stops: a build
before its next write to the store, a collector before its next deletion.
"""

from __future__ import annotations

import logging
import socket
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from threading import Event, RLock, Thread
from typing import Literal

from pydantic import AwareDatetime, Field

from storage import documents
from storage.errors import DamagedError, NotFoundError, StoreError, store_errors
from storage.files import Files
from storage.processes import Process

log = logging.getLogger(__name__)

FOLDER = "leases"
HEARTBEAT = timedelta(minutes=1)
RETRY = timedelta(seconds=5)
"""Time until a heartbeat that could not be written is tried again."""

PATIENCE = timedelta(minutes=10)
"""Time that a build waits for a garbage collector."""

Role = Literal["build", "gc"]


def _now() -> datetime:
    return datetime.now(UTC)


class Lease(Process):
    """Content of a lease file."""

    role: Role
    id: str = Field(pattern="^[a-z0-9-]{1,64}$", description="Starts with the role.")
    host: str = Field(pattern=r"^[^\x00-\x1f\x7f]{0,255}$")
    started: AwareDatetime
    heartbeat: AwareDatetime

    @classmethod
    def new(cls, role: Role) -> Lease:
        """A lease of the current process."""
        now = _now()
        return cls(
            **dict(Process.this()),
            role=role,
            id=f"{role}-{uuid.uuid4().hex}",
            host=socket.gethostname(),
            started=now,
            heartbeat=now,
        )

    @property
    def path(self) -> str:
        """Path of its file, relative to the store."""
        return f"{FOLDER}/{self.id}.json"

    @property
    def live(self) -> bool:
        """Whether its process may still be running."""
        return self.runs() is not False

    @property
    def advice(self) -> str:
        """What the user can do about it."""
        if self.runs():
            return "wait for it, or end it"
        return (
            f"it is of another machine or container, and wrote last at {self.heartbeat:%F %T} UTC "
            f"by its clock: wait for it, or, if it has ended, `repic gc --forget-lease {self.id}`"
        )

    def __str__(self) -> str:
        return f"{self.role} of process {self.pid} on {self.host} since {self.started:%F %T} UTC"


@dataclass(frozen=True)
class UnreadableLease:
    """A file in the folder of leases that cannot be read as one: live, since it may be one."""

    path: str
    reason: str
    live: Literal[True] = True

    @property
    def id(self) -> str:
        """Its name, by which it can be forgotten."""
        return _id(self.path)

    @property
    def role(self) -> Role:
        """By its name."""
        return "gc" if self.id.startswith("gc-") else "build"

    @property
    def advice(self) -> str:
        """What the user can do about it."""
        return (
            "delete the file if it is no lease, or, if its process has ended, "
            f"`repic gc --forget-lease {self.id}`"
        )

    def __str__(self) -> str:
        return f"{self.path}, which cannot be read as a lease ({self.reason})"


def _id(path: str) -> str:
    return PurePosixPath(path).name.removesuffix(".json")


AnyLease = Lease | UnreadableLease


class Leases:
    """The leases of one store. Nested build leases of a process share one file."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = RLock()
        self._depth = 0
        self._exit = Event()
        self._held: Lease | None = None

    def find(self) -> list[AnyLease]:
        """All leases, live or not, in order of their paths.

        Raises:
            StoreError: the folder cannot be listed.
        """
        found = (self._read(path) for path in sorted(self._files.find(FOLDER)))
        return [lease for lease in found if lease]

    def live(self, forgotten: Collection[str] = ()) -> tuple[AnyLease, ...]:
        """Leases whose process may be running, except the forgotten ones.

        Args:
            forgotten: Ids of leases whose process has ended, as the user says.

        Raises:
            NotFoundError: there is no lease of such an id.
            StoreError: a forgotten one runs.
        """
        leases = {lease.id: lease for lease in self.find()}
        for id in forgotten:
            if id not in leases:
                names = ", ".join(leases) or "none"
                raise NotFoundError(f"There is no lease {id}: the store has {names}.")
            lease = leases[id]
            if isinstance(lease, Lease) and lease.runs():
                raise StoreError(f"The {lease} runs on this machine: {lease.advice}.")
        return tuple(lease for id, lease in leases.items() if lease.live and id not in forgotten)

    def others(self, own: Lease) -> tuple[AnyLease, ...]:
        """Live leases except `own`."""
        return tuple(lease for lease in self.live() if lease.id != own.id)

    def forget(self, id: str) -> None:
        """Remove a lease whose process has ended, as the user says.

        Raises:
            NotFoundError: there is no lease of this id.
            StoreError: its process runs.
        """
        self.live([id])
        for path in self._files.find(FOLDER):
            if _id(path) == id:
                self._files.remove(path)

    @contextmanager
    def build(self) -> Iterator[None]:
        """Hold a build lease, so that gc deletes nothing. Re-entrant, also across threads.

        Raises:
            StoreError: a garbage collector holds the store for longer than PATIENCE; or somebody
                has forgotten the lease that this process holds.
        """
        with self._lock:
            if self._depth == 0:
                self._held, self._exit = self._start("build")
                try:
                    self._await_collector(self._held)
                except BaseException:
                    self._stop(self._held, self._exit)
                    raise
            elif self._held:
                self.check(self._held)
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0 and self._held:
                    self._stop(self._held, self._exit)

    @contextmanager
    def gc(self) -> Iterator[Lease]:
        """Hold the lease of a garbage collector, which must look at `live` and `check`."""
        lease, ended = self._start("gc")
        try:
            yield lease
        finally:
            self._stop(lease, ended)

    def check(self, own: Lease) -> None:
        """Raises: StoreError: somebody has forgotten this lease, so others do not wait for it."""
        try:
            with store_errors(self._files.full(own.path), "read"):
                self._files.read(own.path)
        except FileNotFoundError:
            raise StoreError(
                f"The lease {own.id} of this process is gone, so gc may have deleted what it "
                "needs: run it again."
            ) from None

    def _read(self, path: str) -> AnyLease | None:
        try:
            lease = documents.read(self._files, path, Lease)
        except FileNotFoundError:  # released by its process
            return None
        except DamagedError as error:
            return UnreadableLease(path, error.reason)
        except StoreError as error:
            return UnreadableLease(path, str(error))
        return lease if lease.path == path else UnreadableLease(path, "it has the id of another")

    def _start(self, role: Role) -> tuple[Lease, Event]:
        lease, ended = Lease.new(role), Event()
        self._write(lease)
        Thread(target=self._beat, args=(lease, ended), daemon=True, name=f"lease-{role}").start()
        return lease, ended

    def _stop(self, lease: Lease, ended: Event) -> None:
        with self._lock:  # so that no heartbeat follows the removal
            ended.set()
            self._files.discard(lease.path)

    def _beat(self, lease: Lease, ended: Event) -> None:
        pause = HEARTBEAT
        while not ended.wait(pause.total_seconds()):
            with self._lock:
                if ended.is_set():
                    return
                try:
                    self._files.read(lease.path)  # one that was forgotten must not come back
                    self._write(lease.model_copy(update={"heartbeat": _now()}))
                    pause = HEARTBEAT
                except FileNotFoundError:
                    return
                except Exception as error:  # a full disk, a server that restarts
                    log.warning("the heartbeat of %s failed, trying again: %s", lease.path, error)
                    pause = min(RETRY, HEARTBEAT)

    def _write(self, lease: Lease) -> None:
        # Others must see it now, but it need not survive a power failure.
        self._files.replace(lease.path, lease.model_dump_json().encode(), lasting=False)

    def _await_collector(self, own: Lease) -> None:
        deadline = time.monotonic() + PATIENCE.total_seconds()
        while collectors := [lease for lease in self.others(own) if lease.role == "gc"]:
            if time.monotonic() > deadline:
                raise StoreError(f"The store is held by {collectors[0]}: {collectors[0].advice}.")
            self.check(own)
            time.sleep(0.05)

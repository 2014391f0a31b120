"""Identity of a process that outlives it in a file, and whether that process still runs.

A process id alone identifies nothing: other machines and containers have the same ids, and ids are
used again. Only the kernel that runs a process knows whether it has ended, so the identity names
that kernel, and any other place answers "unknown":

    boot       random id of this start of the kernel; all containers of a machine have the same
    namespace  PID namespace, in which the id counts, and time namespace, in which `born` counts
    pid        process id
    born       start time in clock ticks since boot, which distinguishes processes with one id

macOS has a boot id, but neither namespaces nor `born`. Elsewhere nothing is known.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from pydantic import Field

from storage.documents import Frozen

ENDED = {"Z", "X", "x"}
"""States in /proc of a process that has ended and that its parent has not noticed yet."""


class Process(Frozen):
    """Identity of a process. A field is None where the system, or an older format, lacks it."""

    pid: int = Field(gt=0, lt=1 << 31)
    boot: str | None = None
    namespace: str | None = None
    born: int | None = None

    @classmethod
    def this(cls) -> Process:
        """The current process."""
        pid = os.getpid()
        _, born = _stat(pid) or (False, None)
        return cls(pid=pid, boot=boot_id(), namespace=namespace(), born=born)

    def runs(self) -> bool | None:
        """Whether it still runs; None if that cannot be known from here."""
        place = (self.boot, self.namespace)
        if None in place or place != (boot_id(), namespace()):
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it runs as another user
            pass
        if (stat := _stat(self.pid)) is None:
            return True
        ended, born = stat
        return not ended and self.born in (None, born)


@cache
def boot_id() -> str | None:
    """Random id of this start of the kernel; None if the system has none."""
    try:
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        else:
            text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
    except (OSError, subprocess.SubprocessError):
        return None
    return text.strip() or None


def namespace() -> str | None:
    """PID and time namespace of this process; None if the system does not tell."""
    if sys.platform == "darwin":
        return ""
    try:
        pids = os.readlink("/proc/self/ns/pid")
    except OSError:
        return None
    try:
        return f"{pids} {os.readlink('/proc/self/ns/time')}"
    except OSError:  # before Linux 5.6
        return pids


def _stat(pid: int) -> tuple[bool, int] | None:
    """Whether a process of this namespace has ended, and its start time; None if not told."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None  # this /proc shows another namespace
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    fields = text.rpartition(")")[2].split()  # from the third: a name may hold spaces
    state, threads, born = fields[0], int(fields[17]), int(fields[19])
    return state in ENDED and threads <= 1, born

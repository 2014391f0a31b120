"""Every system call on files that a child process makes, native libraries included.

The child asks the kernel to report these calls (seccomp user notifications). Its parent sees each
call before it happens, and lets it happen, answers it with an error, or kills the child. This needs
Linux, but no privileges.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.torture.processes import Outcome, begin, finish

READ, WRITE, LIST, LOOK = "read", "write", "list", "look"
"""Kinds of calls; LOOK asks whether a file exists and how large it is."""

DIE = -1
"""Answer to a call: the process is killed instead."""


@dataclass(frozen=True)
class Call:
    """A system call on files below the watched folder.

    Attributes:
        number: Counts the calls of the process from 0.
        name: Without the suffixes of its variants: `open`, `rename`, `fsync`.
        paths: Relative to the watched folder; two for `rename` and `link`.
        flags: Of `open`.
    """

    number: int
    name: str
    kind: str
    paths: tuple[str, ...]
    flags: int = 0


Decide = Callable[[Call], int]
"""Returns 0 to let a call happen, an errno for its failure, or DIE."""


@dataclass(frozen=True)
class _Shape:
    """Which arguments name files: pairs of folder descriptor (None: cwd) and path, or one fd."""

    numbers: tuple[int | None, int | None]
    name: str
    kind: str
    paths: tuple[tuple[int | None, int], ...] = ()
    fd: int = 0


_SHAPES = (
    _Shape((0, 63), "read", READ),
    _Shape((17, 67), "read", READ),
    _Shape((19, 65), "read", READ),
    _Shape((217, 61), "getdents", LIST),
    _Shape((1, 64), "write", WRITE),
    _Shape((18, 68), "write", WRITE),
    _Shape((20, 66), "write", WRITE),
    _Shape((40, 71), "write", WRITE),
    _Shape((326, 285), "write", WRITE, fd=2),
    _Shape((74, 82), "fsync", WRITE),
    _Shape((75, 83), "fsync", WRITE),
    _Shape((77, 46), "truncate", WRITE),
    _Shape((285, 47), "truncate", WRITE),
    _Shape((2, None), "open", READ, ((None, 0),)),
    _Shape((257, 56), "open", READ, ((0, 1),)),
    _Shape((82, None), "rename", WRITE, ((None, 0), (None, 1))),
    _Shape((264, 38), "rename", WRITE, ((0, 1), (2, 3))),
    _Shape((316, 276), "rename", WRITE, ((0, 1), (2, 3))),
    _Shape((86, None), "link", WRITE, ((None, 0), (None, 1))),
    _Shape((265, 37), "link", WRITE, ((0, 1), (2, 3))),
    _Shape((87, None), "unlink", WRITE, ((None, 0),)),
    _Shape((263, 35), "unlink", WRITE, ((0, 1),)),
    _Shape((84, None), "unlink", WRITE, ((None, 0),)),
    _Shape((83, None), "mkdir", WRITE, ((None, 0),)),
    _Shape((258, 34), "mkdir", WRITE, ((0, 1),)),
    _Shape((4, None), "stat", LOOK, ((None, 0),)),
    _Shape((6, None), "stat", LOOK, ((None, 0),)),
    _Shape((262, 79), "stat", LOOK, ((0, 1),)),
    _Shape((332, 291), "stat", LOOK, ((0, 1),)),
)
_MACHINES = {"x86_64": 0, "aarch64": 1}
_SECCOMP = (317, 277)

_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_NEW_LISTENER, _NO_NEW_PRIVS, _CONTINUE = 8, 38, 1


@cache
def unavailable() -> str:
    """Why calls cannot be watched here; empty if they can."""
    if platform.system() != "Linux" or platform.machine() not in _MACHINES:
        return "watching system calls needs Linux on x86-64 or ARM64"
    try:
        outcome = supervised(lambda: os.stat("/").st_mode, "/", lambda call: 0)
    except OSError as error:
        return f"this machine does not let a process watch system calls ({error.strerror})"
    return "" if outcome.kind == "done" else f"watching system calls fails: {outcome}"


def supervised(
    function: Callable[[], object], folder: str | os.PathLike[str], decide: Decide
) -> Outcome:
    """Run a function in a child process; `decide` sees its calls on files below `folder`.

    Raises:
        OSError: the kernel does not report calls.
    """
    ours, theirs = socket.socketpair()

    def watched() -> object:
        ours.close()
        _report_calls(theirs)
        return function()

    with ours:
        child = begin(watched)
        theirs.close()
        data, handles, _, _ = socket.recv_fds(ours, 4, 1)
        if not handles:
            finish(child)
            number = struct.unpack("i", data)[0] if data else errno.ECHILD
            raise OSError(number, os.strerror(number))
        try:
            _Supervisor(handles[0], child.pid, str(Path(folder).resolve()), decide).run()
        finally:
            os.close(handles[0])
    return finish(child)


def _report_calls(parent: socket.socket) -> None:
    """In the child: have the kernel report calls to `parent`, which receives the listener."""
    libc = ctypes.CDLL(None, use_errno=True)
    column = _MACHINES[platform.machine()]
    numbers = [n for shape in _SHAPES if (n := shape.numbers[column]) is not None]
    rules = [struct.pack("HBBI", 0x20, 0, 0, 0)]  # load the number of the call
    for place, number in enumerate(numbers):  # equal: jump to the last rule
        rules.append(struct.pack("HBBI", 0x15, len(numbers) - place, 0, number))
    rules.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))  # allow
    rules.append(struct.pack("HBBI", 0x06, 0, 0, 0x7FC00000))  # report
    code = ctypes.create_string_buffer(b"".join(rules))
    program = struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code))
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(_SECCOMP[column], 1, _NEW_LISTENER, ctypes.c_char_p(program))
    if listener < 0:
        parent.send(struct.pack("i", ctypes.get_errno()))
        os._exit(1)
    socket.send_fds(parent, [b"ok"], [listener])
    os.close(listener)
    parent.close()


class _Supervisor:
    """Answers the calls of one child until it ends."""

    def __init__(self, listener: int, pid: int, folder: str, decide: Decide) -> None:
        self._listener, self._pid, self._folder, self._decide = listener, pid, folder, decide
        column = _MACHINES[platform.machine()]
        self._shapes = {shape.numbers[column]: shape for shape in _SHAPES}
        self._count = 0
        self._deadline = time.monotonic() + 600

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            events = poll.poll(1000)
            if time.monotonic() > self._deadline:
                return
            if events and events[0][1] & select.POLLIN:
                self._answer()
            elif events:  # the child has ended
                return

    def _answer(self) -> None:
        notice = bytearray(80)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, notice)
        except OSError:  # the thread has ended meanwhile
            return
        key, task, _, number, _, _, *arguments = struct.unpack("QIIiIQ6Q", notice)
        answer = self._judge(task, self._shapes[number], arguments)
        if answer == DIE:
            os.kill(self._pid, signal.SIGKILL)
            return
        flags = 0 if answer else _CONTINUE
        try:
            reply = bytearray(struct.pack("QqiI", key, 0, -answer, flags))
            fcntl.ioctl(self._listener, _ANSWER, reply)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def _judge(self, task: int, shape: _Shape, arguments: list[int]) -> int:
        try:
            paths = self._paths(task, shape, arguments)
        except OSError:  # of a descriptor that is not open
            return 0
        inside = [path for path in paths if _below(path, self._folder)]
        if not inside:
            return 0
        flags = arguments[shape.paths[0][1] + 1] if shape.name == "open" else 0
        relative = tuple(os.path.relpath(path, self._folder) for path in paths)
        call = Call(self._count, shape.name, _kind(shape, flags), relative, flags)
        self._count += 1
        return self._decide(call)

    def _paths(self, task: int, shape: _Shape, arguments: list[int]) -> list[str]:
        if not shape.paths:
            return [os.readlink(f"/proc/{task}/fd/{_signed(arguments[shape.fd])}")]
        found = []
        with open(f"/proc/{task}/mem", "rb", buffering=0) as memory:
            for folder, place in shape.paths:
                name = _text(memory.fileno(), arguments[place])
                if not name:  # a stat of an open file
                    continue
                at = -100 if folder is None else _signed(arguments[folder])
                if not name.startswith("/"):
                    base = f"/proc/{task}/cwd" if at < 0 else f"/proc/{task}/fd/{at}"
                    name = os.path.join(os.readlink(base), name)
                found.append(os.path.normpath(name))
        return found


def _kind(shape: _Shape, flags: int) -> str:
    if shape.name != "open":
        return shape.kind
    if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
        return WRITE
    return LIST if flags & os.O_DIRECTORY else READ


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _signed(value: int) -> int:
    return ctypes.c_int(value & 0xFFFFFFFF).value


def _text(memory: int, address: int) -> str:
    """A C string of another process."""
    data = b""
    while address and b"\0" not in data:
        page = 4096 - (address + len(data)) % 4096
        data += os.pread(memory, page, address + len(data))
    return os.fsdecode(data.partition(b"\0")[0])

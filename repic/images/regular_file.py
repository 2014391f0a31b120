"""Local files of strangers, opened without waiting: a pipe may lie where a file is expected."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from repic.images.refusal import ImageRefused, of_os_error


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """An open regular file.

    Raises:
        ImageRefused: there is none, or it cannot be read; also for errors of reading on.
        OSError: an error of the machine, such as too many open files.
    """
    if "\0" in os.fspath(path):
        raise ImageRefused("missing", "its name holds a NUL, which no file's name can")
    try:
        # Without O_NONBLOCK, opening a pipe blocks until another process writes to it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                kind = "a directory" if stat.S_ISDIR(mode) else "a pipe, socket or device"
                raise ImageRefused("not-a-file", f"it is {kind}")
            yield file
    except OSError as error:
        raise of_os_error(error) from error

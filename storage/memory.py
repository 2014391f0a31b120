"""A store in the memory of this process, for tests and notebooks.

fsspec's memory file system makes a file visible before it is written, checks and creates in two
steps, and shares one handle among all readers of a file. This subclass has the atomic semantics of
an object store and is thread-safe.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

_CREATE = Lock()


class AtomicMemoryFileSystem(MemoryFileSystem):
    """fsspec's memory file system with atomic writes and independent readers."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write a file. Raises: FileExistsError: `mode` is "create", and the file exists."""
        with _CREATE:
            super().pipe_file(path, value, mode, **kwargs)

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **kwargs: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes(), mode)

    def _open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> MemoryFile:
        if mode != "rb":
            return super()._open(path, mode, *args, **kwargs)
        return MemoryFile(self, path, self.cat_file(path))

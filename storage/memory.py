"""A store in the memory of this process, for tests and notebooks.

fsspec's memory file system shows a file before its bytes are in it, looks and creates in two steps,
and hands all readers of a file one handle with one position. An object store does none of that, so
this one does not either: threads may share it.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

_CREATE = Lock()


class AtomicMemoryFileSystem(MemoryFileSystem):
    """fsspec's memory, and its files, where a file is there whole or not at all."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Raises: FileExistsError: `mode` is "create", and there is one."""
        with _CREATE:
            super().pipe_file(path, value, mode, **kwargs)

    def put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **kwargs: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes(), mode)

    def _open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> MemoryFile:
        if mode != "rb":
            return super()._open(path, mode, *args, **kwargs)
        return MemoryFile(self, path, self.cat_file(path))

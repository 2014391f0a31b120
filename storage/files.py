"""Atomic file operations of one store, on local disks and object stores.

An object store (s3, gs, memory) writes an object completely or not at all, and can create it only
if it is absent. On a local disk the same needs these steps: write a temporary file, fsync it, link
or rename it to its name, fsync the folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar

from fsspec import AbstractFileSystem

from storage import listing
from storage.disk import link, make_folder, sync, sync_folder
from storage.errors import StoreError, store_errors, without_conditions
from storage.numbered import Numbered

MARKER = "store.json"
"""File that every store has."""

TEMPORARY = "tmp"
"""Folder of a store for incomplete files; files that a killed process leaves there are garbage."""


@dataclass(frozen=True)
class Stored:
    """A file under its content name: path relative to the store, SHA-256 in hex, size."""

    path: str
    sha256: str
    bytes: int


Check = Callable[[IO[bytes]], None]
"""Reads a written file back; raises StoreError if it differs from what was written."""


@dataclass(unsafe_hash=True)
class Files:
    """Files of a store on an object store. Paths are relative to the store and use "/"."""

    fs: AbstractFileSystem
    root: str
    _numbered: dict[tuple[str, str], Numbered] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _creates: bool = field(default=False, init=False, repr=False, compare=False)
    local: ClassVar[bool] = False
    listed_at_once: ClassVar[int] = 1000
    """Names that one request lists."""

    def full(self, path: str) -> str:
        """Path for the fsspec file system."""
        return f"{self.root}/{path}"

    def url(self, path: str) -> str:
        """Path for DuckDB: absolute on a local disk, else a URL."""
        return self.fs.unstrip_protocol(self.full(path))

    def read(self, path: str) -> bytes:
        """Content of a file. Raises: FileNotFoundError."""
        return self.fs.cat_file(self.full(path))

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading. Raises: FileNotFoundError."""
        return self.fs.open(self.full(path), "rb")

    def sha256(self, path: str) -> str:
        """SHA-256 of a file in hex. Raises: OSError: it is absent or cannot be read."""
        opened: Any = self.open(path)  # `IO[bytes]` does not declare readinto
        with opened as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    def find(self, folder: str) -> dict[str, int]:
        """Path -> size in bytes of all files below a folder; empty if the folder does not exist.

        Raises:
            StoreError: the folder or one below it cannot be listed completely; a file that is not
                in the result does not exist.
        """
        full = self.full(folder).rstrip("/")
        with store_errors(full, "list"):
            try:
                entries = self.fs.find(full, detail=True, withdirs=False)
            except FileNotFoundError:
                if not self.fs.exists(self.full(MARKER)):
                    raise self._absent("list", full) from None
                return {}
        found = {self.fs._strip_protocol(path): entry for path, entry in entries.items()}
        if full in found:  # what s3fs says about the path itself, after an empty listing
            if found[full]["type"] == "file":
                raise StoreError(f"Cannot list {full}, because it is a file: move it.")
            return self.find(folder)  # it has its first file since
        return {path[len(self.root) + 1 :]: entry["size"] for path, entry in found.items()}

    def paths(self, folder: str) -> list[str]:
        """Paths of all files below a folder, in any order. Raises: StoreError, as `find`."""
        return list(self.find(folder))

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder itself, in any order. Raises: StoreError, as `find`."""
        start = len(folder) + 1
        return [path[start:] for path in self.find(folder) if "/" not in path[start:]]

    def numbered(self, folder: str, prefix: str = "") -> Numbered:
        """The numbered files of a folder, one memory for all who ask this object."""
        found = self._numbered.get((folder, prefix))
        return found or self._numbered.setdefault(
            (folder, prefix),
            Numbered(
                partial(self.names, folder),
                partial(self.present, folder),
                prefix,
                self.listed_at_once,
            ),
        )

    def forget_numbers(self) -> None:
        """List all folders of numbered files at the next look at them."""
        self._numbered.clear()

    def present(self, folder: str, names: Sequence[str]) -> set[str]:
        """Those of the names that are files of a folder. Raises: StoreError, as `find`."""

        def known(name: str) -> bool:
            with store_errors(self.full(folder), "list"):
                try:
                    return self.fs.info(self.full(f"{folder}/{name}"))["type"] == "file"
                except FileNotFoundError:
                    return False

        with ThreadPoolExecutor(len(names)) as pool:
            return {
                name for name, there in zip(names, pool.map(known, names), strict=True) if there
            }

    def exists(self, path: str) -> bool:
        """Whether there is such a file; also False if that cannot be told now."""
        return bool(self.fs.isfile(self.full(path)))

    def folders(self, folder: str) -> list[str]:
        """Paths of all folders below a folder; an object store has none."""
        return []

    def is_link(self, folder: str) -> bool:
        """Whether a folder is a link to another place. Raises: StoreError."""
        return False

    def create(self, path: str, data: bytes) -> bool:
        """Create a file atomically; False if it exists. Exactly one of many writers wins.

        Raises:
            StoreError: the store cannot be written, or the server overwrites files instead.
        """
        self.check_creation()
        return self._create(path, data)

    def check_creation(self) -> None:
        """Look once whether the server creates files only if they are absent.

        A server that ignores the condition writes the marker again, with the same bytes. A store
        without a marker is new, and is looked at after that.

        Raises:
            StoreError: it does not.
        """
        if self._creates:
            return
        try:
            marker = self.read(MARKER)
        except FileNotFoundError:
            return
        if self._create(MARKER, marker):
            raise without_conditions(self.url("").rstrip("/"))
        self._creates = True

    def _create(self, path: str, data: bytes) -> bool:
        with self._writing(path):
            try:
                self.fs.pipe_file(self.full(path), data, mode="create")
            except FileExistsError:
                return False
            return True

    def replace(self, path: str, data: bytes, lasting: bool = True) -> None:
        """Create or replace a file atomically.

        Args:
            lasting: A power failure must not bring back the old file, or none; it is whole anyway.
        """
        with self._writing(path):
            self.fs.pipe_file(self.full(path), data)

    def put(self, folder: str, suffix: str, chunks: Iterable[Any], check: Check) -> Stored:
        """Store bytes as `folder/<sha256><suffix>`; a no-op if that file has them already.

        Raises:
            StoreError: no space, no permission, or `check` rejected the written file.
        """
        with tempfile.NamedTemporaryFile() as temporary:
            sha256, size = _copy(chunks, temporary)
            temporary.flush()
            stored = Stored(f"{folder}/{sha256}{suffix}", sha256, size)
            if not self.holds(stored):
                with self._writing(stored.path):
                    self.fs.put_file(temporary.name, self.full(stored.path))
                with self.open(stored.path) as written:
                    check(written)
        return stored

    def holds(self, stored: Stored) -> bool:
        """Whether a file exists with this content; a damaged one is to be written again."""
        try:
            size = self.fs.info(self.full(stored.path))["size"]
            return size == stored.bytes and self.sha256(stored.path) == stored.sha256
        except OSError:  # absent, or unreadable
            return False

    def remove(self, path: str) -> None:
        """Remove a file durably; no error if it does not exist."""
        with store_errors(self.full(path), "delete"), suppress(FileNotFoundError):
            self.fs.rm_file(self.full(path))

    def discard(self, path: str) -> None:
        """As `remove`, but the file may be there again after a power failure."""
        self.remove(path)

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        with store_errors(self.full(path)):
            try:
                yield
            except FileNotFoundError:
                raise self._absent("write", self.full(path)) from None

    @staticmethod
    def _absent(action: str, path: str) -> StoreError:
        return StoreError(
            f"Cannot {action} {path}, because its bucket or folder does not exist: create it, or "
            "check the location of the store."
        )


class LocalFiles(Files):
    """Files of a store on a local disk or a mounted network file system."""

    local = True
    listed_at_once = 0

    def url(self, path: str) -> str:
        return self.full(path)

    def find(self, folder: str) -> dict[str, int]:
        found = listing.sizes(self.full(folder).rstrip("/"))
        return {path[len(self.root) + 1 :]: size for path, size in found.items()}

    def paths(self, folder: str) -> list[str]:
        start = len(self.root) + 1
        return [path[start:] for path in listing.paths(self.full(folder))]

    def names(self, folder: str) -> list[str]:
        return listing.names(self.full(folder))

    def present(self, folder: str, names: Sequence[str]) -> set[str]:
        return listing.present(self.full(folder), names)

    def exists(self, path: str) -> bool:
        return os.path.isfile(self.full(path))

    def open(self, path: str) -> IO[bytes]:
        mode = os.stat(self.full(path)).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", self.full(path))
        return open(self.full(path), "rb")

    def folders(self, folder: str) -> list[str]:
        found = (
            os.path.join(up, name) for up, below, _ in os.walk(self.full(folder)) for name in below
        )
        return sorted(os.path.relpath(path, self.root) for path in found)

    def is_link(self, folder: str) -> bool:
        with store_errors(self.full(folder), "list"):
            try:
                return stat.S_ISLNK(os.lstat(self.full(folder)).st_mode)
            except FileNotFoundError:
                return False

    def check_creation(self) -> None:
        """A disk has hard links, or an error says that it has none."""

    def _create(self, path: str, data: bytes) -> bool:
        target = self.full(path)
        with self._writing(path), self._temporary() as (temporary, handle):
            handle.write(data)
            sync(handle)
            make_folder(os.path.dirname(target))
            try:
                link(temporary, target)
            except FileExistsError:
                return False
            sync_folder(os.path.dirname(target))
            return True

    def replace(self, path: str, data: bytes, lasting: bool = True) -> None:
        target = self.full(path)
        with self._writing(path), self._temporary() as (temporary, handle):
            handle.write(data)
            sync(handle)
            make_folder(os.path.dirname(target))
            os.replace(temporary, target)
            if lasting:
                sync_folder(os.path.dirname(target))

    def put(self, folder: str, suffix: str, chunks: Iterable[Any], check: Check) -> Stored:
        with self._writing(folder), self._temporary() as (temporary, handle):
            sha256, size = _copy(chunks, handle)
            sync(handle)
            handle.close()
            with open(temporary, "rb") as written:
                check(written)
            stored = Stored(f"{folder}/{sha256}{suffix}", sha256, size)
            if not self.holds(stored):
                make_folder(self.full(folder))
                os.replace(temporary, self.full(stored.path))
                sync_folder(self.full(folder))
        return stored

    def remove(self, path: str) -> None:
        super().remove(path)
        parent = os.path.dirname(self.full(path))
        with store_errors(parent, "delete"), suppress(FileNotFoundError):
            sync_folder(parent)

    def discard(self, path: str) -> None:
        super().remove(path)

    @contextmanager
    def _temporary(self) -> Iterator[tuple[str, IO[bytes]]]:
        path = Path(self.full(TEMPORARY), uuid.uuid4().hex)
        make_folder(str(path.parent))
        try:
            with open(path, "xb") as handle:
                yield str(path), handle
        finally:
            path.unlink(missing_ok=True)


def _copy(chunks: Iterable[Any], target: IO[bytes]) -> tuple[str, int]:
    """Write chunks; return their SHA-256 and size in bytes."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size

"""The index of a tar of strangers: names and places of its files, without unpacking any.

Links, devices, sparse files and names that are absolute or hold `..` are counted and left out.
"""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from repic.images import uris
from repic.sources.shards import SourceFile

MAX_HEADER = 1 << 20
"""Maximum bytes of one header with extensions, such as a long name; usual are 1,024."""
MAX_TEXT = 1 << 20
"""Maximum bytes of a text or JSON file of a sample; larger ones are left out."""

MAX_TEXTS = 1 << 28
"""Maximum bytes of all such files of one tar."""

_TEXTS = (".txt", ".json", ".cls", ".caption", ".text")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


class BrokenTarError(ValueError):
    """A tar that cannot be read further; the files before may be used."""


@dataclass(frozen=True)
class TarFile:
    """A file in a tar: its place, and its content if it is a short text."""

    place: uris.Member
    content: bytes | None


def files(shard: SourceFile, counts: Counter[str]) -> Iterator[TarFile]:
    """The files of a tar in their order.

    Args:
        counts: What was left out, by reason; it is added to.

    Raises:
        BrokenTarError: the tar is compressed, broken or cut off.
        OSError: it cannot be opened.
    """
    with shard.files.open(shard.path, "rb") as raw:
        if raw.read(6).startswith(_COMPRESSED):
            raise BrokenTarError(
                "it is compressed, so its files have no place of their own; decompress it"
            )
        raw.seek(0)
        try:
            yield from _indexed(_Bounded(raw), shard.files.size(shard.path), counts)
        except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError) as error:
            raise BrokenTarError(f"it is cut off or no tar: {error}") from error


def _indexed(file: _Bounded, size: int | None, counts: Counter[str]) -> Iterator[TarFile]:
    with tarfile.open(fileobj=file, mode="r:", errorlevel=0) as tar:
        before, texts = -1, 0
        while (entry := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] # it keeps all of them
            if entry.size < 0 or tar.offset <= before:
                raise BrokenTarError(f"{_name(entry)[:200]} has a size below 0")
            before = tar.offset
            if reason := _refused(entry):
                counts[reason] += not entry.isdir()
                continue
            end = entry.offset_data + entry.size
            if size is not None and end > size:
                raise BrokenTarError(f"{_name(entry)[:200]} ends after the file")
            content = _content(file, entry)
            texts += len(content or b"")
            if texts > MAX_TEXTS:
                raise BrokenTarError(f"its texts have more than {MAX_TEXTS >> 20} MB")
            yield TarFile(uris.Member(_name(entry), entry.offset_data, entry.size), content)
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise BrokenTarError(f"there is no header at byte {tar.offset:,}")


def _refused(entry: tarfile.TarInfo) -> str | None:
    """Why an entry is no file of a sample; None if it is one."""
    if entry.issym() or entry.islnk():
        return "links in tars"
    if not entry.isreg() or entry.issparse():
        return "devices, pipes and sparse files in tars"
    if entry.name.startswith("/") or ".." in entry.name.split("/") or "\0" in entry.name:
        return "files in tars with an absolute path or .."
    return None


def _name(entry: tarfile.TarInfo) -> str:
    """The name of an entry as text that a table can store, without a leading `./`."""
    name = entry.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return name.removeprefix("./")


def _content(file: _Bounded, entry: tarfile.TarInfo) -> bytes | None:
    if not entry.name.lower().endswith(_TEXTS) or entry.size > MAX_TEXT:
        return None
    file.seek(entry.offset_data)
    return file.read(entry.size)


class _Bounded(io.RawIOBase):
    """A file that refuses to read much at once, as a header of any length would make it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """At most `MAX_HEADER` bytes; ValueError for more."""
        if not 0 <= size <= MAX_HEADER:
            raise ValueError(f"a header claims {size:,} bytes")
        return bytes(self._file.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        """Change the place in the file."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """The place in the file."""
        return int(self._file.tell())

    def seekable(self) -> bool:
        """True: the place can be changed."""
        return True

    def readable(self) -> bool:
        """True: it can be read."""
        return True

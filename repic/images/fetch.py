"""Read the bytes of a picture by its URI; refusals carry a reason."""

from __future__ import annotations

import errno
import os
import stat
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from repic.images import uris

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_BYTES = 512 * 2**20
"""Maximum size of a file: an uncompressed 16-bit TIFF of 85 megapixels."""

Reason = Literal[
    "missing",  # no such file, or no such row in the table
    "unreadable",  # no permission, or an error of the disk
    "not-a-file",  # a directory, pipe, socket or device
    "link-loop",  # symbolic links that form a loop
    "changed",  # written to while it was read
    "empty",  # no bytes
    "too-large",  # more than MAX_BYTES
    "not-an-image",  # the content has no known image format
    "unsupported",  # an image format whose decoder is not installed
    "truncated",  # the end of the file is missing
    "corrupt",  # an image format, but the content cannot be decoded
    "too-many-pixels",  # a decompression bomb, or too large
    "too-small",  # a side is too short
    "aspect",  # too long and narrow for models
    "region",  # the requested region is outside of the picture
]
"""Reason of a refusal, the column `error` of the table `quarantine`."""


class ImageRefused(ValueError):  # noqa: N818 - a verdict, not a failure
    """A picture that cannot be used: `reason` is a code, `message` a text for users."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason: Reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type[ImageRefused], tuple[Reason, str]]:
        return type(self), (self.reason, self.message)


def read_bytes(uri: str) -> bytes:
    """All bytes of the picture at a URI; a region in the URI is ignored.

    Raises:
        ImageRefused: there is nothing to read; a retry would not help.
        ValueError: the URI is malformed.
        OSError: a possibly temporary failure of a remote store.
    """
    location = uris.Location.parse(uri)
    if location.row is not None and location.column is not None:
        return _check_size(_cell(location.url, location.row, location.column))
    if location.url.startswith("file://"):
        return _read_local(uris.file_path(location.url))
    return _read_remote(location.url)


def _check_size(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise ImageRefused("too-large", f"{len(data):,} bytes; at most {MAX_BYTES:,} are read")
    if not data:
        raise ImageRefused("empty", "there are no bytes in it")
    return data


def _read_local(path: str) -> bytes:
    if "\0" in path:
        raise ImageRefused("missing", "its name holds a NUL, which no file's name can")
    try:
        # Without O_NONBLOCK, opening a pipe blocks until another process writes to it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            return _read_regular(file)
    except OSError as error:
        raise _refusal(error) from error


def _read_regular(file: BinaryIO) -> bytes:
    before = os.fstat(file.fileno())
    if not stat.S_ISREG(before.st_mode):
        kind = "a directory" if stat.S_ISDIR(before.st_mode) else "a pipe, socket or device"
        raise ImageRefused("not-a-file", f"it is {kind}")
    if before.st_size > MAX_BYTES:
        raise ImageRefused("too-large", f"{before.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    data = file.read(MAX_BYTES + 1)
    after = os.fstat(file.fileno())
    if (len(data), after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ImageRefused("changed", "it was written to while it was read; run again")
    return _check_size(data)


def _refusal(error: OSError) -> ImageRefused:
    cause = error.strerror or str(error) or type(error).__name__
    if isinstance(error, IsADirectoryError):
        return ImageRefused("not-a-file", "it is a directory")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ImageRefused("missing", "there is no such file")
    if error.errno == errno.ELOOP:
        return ImageRefused("link-loop", "its symbolic link leads back to itself")
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return ImageRefused("not-a-file", "it is a pipe, socket or device")
    return ImageRefused("unreadable", f"it cannot be read: {cause}")


def _read_remote(url: str) -> bytes:
    import fsspec

    files, path = fsspec.url_to_fs(uris.remote_path(url))
    try:
        info = files.info(path)
        if info["type"] == "directory":
            raise ImageRefused("not-a-file", "it is a directory")
        if (size := info.get("size") or 0) > MAX_BYTES:
            raise ImageRefused("too-large", f"{size:,} bytes; at most {MAX_BYTES:,} are read")
        return _check_size(files.cat_file(path))
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise _refusal(error) from error


# Several threads request neighboring rows one after the other, and Parquet and Arrow are read by
# groups of rows: the last groups are cached, and the lock has each one read only once.
_GROUP_LOCK = threading.Lock()


def _cell(url: str, row: int, column: str) -> bytes:
    import fsspec
    import pyarrow as pa

    is_local = url.startswith("file://")
    files, path = fsspec.url_to_fs(uris.file_path(url) if is_local else uris.remote_path(url))
    try:
        with _GROUP_LOCK:
            version = files.ukey(path)
            group, offset = _find_row(files, path, version, row)
            cells = _group(files, path, version, group, column)
    except (pa.ArrowInvalid, OSError) as error:
        if not isinstance(error, OSError) or _is_arrow_error(error):
            message = f"the table around it cannot be read: {error}"
            raise ImageRefused("corrupt", message) from error
        if is_local or isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise _refusal(error) from error
        raise
    return _picture_bytes(cells[offset].as_py())


def _is_arrow_error(error: OSError) -> bool:
    """Whether an error of Arrow means broken content, for example a truncated table.

    Such an error is a plain OSError without a number, unlike errors of the file system.
    """
    return type(error) is OSError and error.errno is None


def _picture_bytes(value: Any) -> bytes:
    """Bytes of a table cell: binary, or the struct with `bytes` that `datasets` writes.

    Raises:
        ImageRefused: the cell is null or of another type.
    """
    content = value.get("bytes") if isinstance(value, dict) else value
    if content is None:
        raise ImageRefused("empty", "the cell holds no picture")
    if not isinstance(content, bytes):
        raise ImageRefused("not-an-image", f"the cell holds {type(content).__name__}, not bytes")
    return content


def _find_row(files: Any, path: str, version: str, row: int) -> tuple[int, int]:
    """The group that contains a row, and the row's offset in it."""
    first = 0
    for group, count in enumerate(_group_sizes(files, path, version)):
        if row < first + count:
            return group, row - first
        first += count
    raise ImageRefused("missing", f"the table has {first} rows; there is no row {row}")


@lru_cache(maxsize=64)
def _group_sizes(files: Any, path: str, version: str) -> tuple[int, ...]:
    with files.open(path, "rb") as file:
        if is_arrow(path):
            return tuple(batch.num_rows for batch in _arrow_batches(file, path))
        metadata = _parquet(file).metadata
        return tuple(metadata.row_group(g).num_rows for g in range(metadata.num_row_groups))


@lru_cache(maxsize=2)
def _group(files: Any, path: str, version: str, group: int, column: str) -> pa.ChunkedArray:
    import pyarrow as pa

    with files.open(path, "rb") as file:
        if is_arrow(path):
            batches = _arrow_batches(file, path)
            table = pa.Table.from_batches([b for g, b in enumerate(batches) if g == group])
        else:
            parquet = _parquet(file)
            if column not in parquet.schema_arrow.names:
                raise ImageRefused("missing", f"the table has no column {column}")
            table = parquet.read_row_group(group, [column], use_threads=False)
    if column not in table.column_names:
        raise ImageRefused("missing", f"the table has no column {column}")
    return table[column]


def _parquet(file: Any) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(file)


def is_arrow(path: str) -> bool:
    """Whether a table file is an Arrow stream, as saved by `datasets`, rather than Parquet."""
    return path.endswith(".arrow")


def _arrow_batches(file: Any, path: str) -> Any:
    """Record batches of an Arrow stream; a local file is memory-mapped."""
    import pyarrow as pa

    if os.path.exists(path):
        return pa.ipc.open_stream(pa.memory_map(path))
    return pa.ipc.open_stream(file)

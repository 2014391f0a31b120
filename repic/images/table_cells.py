"""Pictures in the cells of Parquet and Arrow files."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from repic.images import formats, network, uris
from repic.images.refusal import ImageRefused, of_os_error

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_GROUP_BYTES = 4 * 2**30
"""Maximum size of the pictures in one group of rows of a table."""
MAX_DOWNLOAD_BYTES = 512 * 2**20
"""Maximum size of a table on an http server."""
GROUP_SLACK = 256 * 2**20
"""Bytes to which a group may expand whatever the table says of its size."""

SHORTEST_BASE64 = 64
"""Characters that tell base64 from a path; the smallest picture has more."""
HEAD_CHARACTERS = 256
_DATA_URL = re.compile(r"^data:[\w/+.-]*;base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+")

# Several threads request neighboring rows one after the other, and Parquet and Arrow are read by
# groups of rows: the last groups are cached, and the lock has each one read only once.
_GROUP_LOCK = threading.Lock()


def cell(url: str, row: int, column: str) -> bytes:
    """Bytes of the picture in a row, counted from 0, of a column of the table at a URL.

    Raises:
        network.DownloadError: the table cannot be downloaded from its http server.
        ImageRefused: there is no such cell, it holds no picture, or the table is broken.
        OSError: a possibly temporary failure of a remote store.
    """
    import pyarrow as pa

    is_local = url.startswith("file://")
    files, path = file_system(url)
    try:
        with _GROUP_LOCK:
            version = files.ukey(path)
            group, offset = _find_row(url, version, row)
            cells = _group(url, version, group, column)
    except (pa.ArrowException, OSError) as error:
        if not isinstance(error, OSError) or is_arrow_error(error):
            message = f"the table around it cannot be read: {error}"
            raise ImageRefused("corrupt", message) from error
        if is_local or isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise of_os_error(error) from error
        raise
    if isinstance(cells, ImageRefused):
        raise cells
    return _picture_bytes(cells[offset].as_py())


def file_system(url: str) -> tuple[Any, str]:
    """What opens the table at a URL, and its path in there."""
    import fsspec

    if url.startswith("file://"):
        return fsspec.filesystem("file"), uris.file_path(url)
    if url.partition("://")[0] in network.SCHEMES:
        return _DOWNLOADS, url
    return fsspec.url_to_fs(uris.remote_path(url))


class _Downloads:
    """Tables of http servers, which are not trusted: each is downloaded as a picture is."""

    def ukey(self, url: str) -> str:
        """The URL: servers need not tell versions apart."""
        return url

    def open(self, url: str, mode: str) -> io.BytesIO:
        """The content of a table; that of the last one is kept."""
        return io.BytesIO(downloaded(url))


_DOWNLOADS = _Downloads()


@lru_cache(maxsize=1)
def downloaded(url: str) -> bytes:
    """Content of a file with pictures on an http server; that of the last one is kept.

    Raises:
        network.DownloadError: it cannot be downloaded.
    """
    return network.download(url, MAX_DOWNLOAD_BYTES)


def is_arrow_error(error: OSError) -> bool:
    """Whether an error of Arrow means broken content, for example a truncated table.

    Such an error is a plain OSError without a number, unlike errors of the file system.
    """
    return type(error) is OSError and error.errno is None


def is_base64(text: str) -> bool:
    """Whether a text is a picture in base64, bare or as a `data:` URL, rather than a path."""
    head = _DATA_URL.sub("", text[:HEAD_CHARACTERS])[:SHORTEST_BASE64]
    if len(head) < SHORTEST_BASE64 or not _BASE64.fullmatch(head):
        return False
    return formats.sniff(base64.b64decode(head)) is not None


def _decoded(text: str) -> bytes:
    """Bytes of a picture in base64.

    Raises:
        ImageRefused: the text is something else.
    """
    if not is_base64(text):
        raise ImageRefused("not-an-image", "the cell holds str, not bytes")
    try:
        return base64.b64decode(_DATA_URL.sub("", text, count=1))
    except ValueError as error:
        raise ImageRefused("corrupt", f"its base64 text is damaged: {error}") from None


def _picture_bytes(value: Any) -> bytes:
    """Bytes of a table cell: binary, the struct with `bytes` that `datasets` writes, or base64.

    Raises:
        ImageRefused: the cell is null or of another type.
    """
    content = value.get("bytes") if isinstance(value, dict) else value
    if content is None:
        raise ImageRefused("empty", "the cell holds no picture")
    if isinstance(content, str):
        return _decoded(content)
    if not isinstance(content, bytes):
        raise ImageRefused("not-an-image", f"the cell holds {type(content).__name__}, not bytes")
    return content


def _find_row(url: str, version: str, row: int) -> tuple[int, int]:
    """The group that contains a row, and the row's offset in it."""
    first = 0
    for group, count in enumerate(_group_sizes(url, version)):
        if row < first + count:
            return group, row - first
        first += count
    raise ImageRefused("missing", f"the table has {first} rows; there is no row {row}")


# The caches hold URLs, because fsspec has another file system for each thread.
@lru_cache(maxsize=64)
def _group_sizes(url: str, version: str) -> tuple[int, ...]:
    files, path = file_system(url)
    with files.open(path, "rb") as file:
        if is_arrow(path):
            return tuple(batch.num_rows for batch in _arrow_batches(file, path))
        metadata = _parquet(file).metadata
        return tuple(metadata.row_group(g).num_rows for g in range(metadata.num_row_groups))


@lru_cache(maxsize=2)
def _group(url: str, version: str, group: int, column: str) -> pa.ChunkedArray | ImageRefused:
    """The cells of a column in one group; a refusal of the group is kept as well."""
    import pyarrow as pa

    files, path = file_system(url)
    with files.open(path, "rb") as file:
        if is_arrow(path):
            batches = list(_arrow_group(file, path, group))
        else:
            parquet = _parquet(file)
            if column not in parquet.schema_arrow.names:
                return ImageRefused("missing", f"the table has no column {column}")
            try:
                batches = list(bounded_batches(parquet, [column], [group]))
            except TableTooLargeError as error:
                return ImageRefused("too-large", f"the table around it: {error}")
    table = pa.Table.from_batches(batches)
    if column not in table.column_names:
        return ImageRefused("missing", f"the table has no column {column}")
    return table[column]


def _arrow_group(file: Any, path: str, group: int) -> Iterator[pa.RecordBatch]:
    yield from (batch for number, batch in enumerate(_arrow_batches(file, path)) if number == group)


class TableTooLargeError(ValueError):
    """A table whose rows expand to far more than its size."""


def bounded_batches(
    parquet: pq.ParquetFile, columns: Sequence[str], groups: Sequence[int], keep: bool = True
) -> Iterator[pa.RecordBatch]:
    """Batches of the given columns and groups of rows, each of at most `GROUP_SLACK` bytes.

    A value is stored once in Parquet and referred to by any number of rows, so a file of a kilobyte
    can have gigabytes of rows. A batch has so few rows that this cannot happen within it.

    Args:
        keep: Whether the caller keeps the batches of a group, so that memory bounds their sum;
            otherwise only time does.

    Raises:
        TableTooLargeError: a group has, or expands to, more bytes than the limits.
    """
    for group in groups:
        stored = _stored_bytes(parquet.metadata.row_group(group), columns)
        if stored > MAX_GROUP_BYTES:
            raise TableTooLargeError(f"a group of rows has {stored:,} bytes")
        rows = max(1, min(1024, GROUP_SLACK // max(1, stored)))
        expanded, most = 0, max(GROUP_SLACK if keep else MAX_GROUP_BYTES, 2 * stored)
        for batch in parquet.iter_batches(
            rows, row_groups=[group], columns=list(columns), use_threads=False
        ):
            expanded += batch.nbytes
            if expanded > most:
                raise TableTooLargeError(f"{stored:,} bytes expand to more than {expanded:,}")
            yield batch


def _stored_bytes(group: Any, columns: Sequence[str]) -> int:
    """Uncompressed bytes of some columns in a group of rows."""
    chunks = (group.column(index) for index in range(group.num_columns))
    return sum(
        chunk.total_uncompressed_size
        for chunk in chunks
        if chunk.path_in_schema.partition(".")[0] in columns
    )


def _parquet(file: Any) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(file)


def is_arrow(path: str) -> bool:
    """Whether a table file is an Arrow stream, as saved by `datasets`, rather than Parquet."""
    return path.endswith(".arrow")


def _arrow_batches(file: Any, path: str) -> Any:
    """Record batches of an Arrow stream; a local file is memory-mapped."""
    import pyarrow as pa
    from fsspec.implementations.local import LocalFileOpener

    if isinstance(file, LocalFileOpener):
        return pa.ipc.open_stream(pa.memory_map(path))
    return pa.ipc.open_stream(file)

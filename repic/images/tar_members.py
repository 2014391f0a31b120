"""Files inside of tars, read where they are: nothing is unpacked."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from repic.images import network, regular_file, table_cells, uris
from repic.images.refusal import ImageRefused, of_os_error

if TYPE_CHECKING:
    from repic.images.uris import Member


def member(url: str, wanted: Member) -> bytes:
    """Bytes of a file in the tar at a URL, by its place.

    Raises:
        network.DownloadError: the tar cannot be downloaded from its http server.
        ImageRefused: there is no such file at that place, or its end is missing.
        OSError: a possibly temporary failure of a remote store.
    """
    start, end = wanted.offset - tarfile.BLOCKSIZE, wanted.offset + wanted.size
    if start < 0 or not _is_header(data := _range(url, start, end), wanted.size):
        raise ImageRefused(
            "missing", f"the tar has no file of {wanted.size:,} bytes there; it was written anew"
        )
    content = data[tarfile.BLOCKSIZE :]
    if len(content) < wanted.size:
        raise ImageRefused("truncated", "the tar around it ends before it does")
    return content


def _is_header(data: bytes, size: int) -> bool:
    """Whether the first block is the header of a regular file of this size."""
    try:
        header = tarfile.TarInfo.frombuf(data[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return header.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and header.size == size


def _range(url: str, start: int, end: int) -> bytes:
    """Bytes of a file from `start` to before `end`, or to its end."""
    if url.startswith("file://"):
        with regular_file.opened(uris.file_path(url)) as file:
            file.seek(start)
            return file.read(end - start)
    if url.partition("://")[0] in network.SCHEMES:
        return table_cells.downloaded(url)[start:end]
    files, path = table_cells.file_system(url)
    try:
        return bytes(files.cat_file(path, start=start, end=end))
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise of_os_error(error) from error

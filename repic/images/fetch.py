"""Read the bytes of a picture by its URI; refusals carry a reason."""

from __future__ import annotations

import os
from typing import BinaryIO

from repic.images import network, regular_file, table_cells, tar_members, uris, video_frames
from repic.images.refusal import SYSTEM_ERRORS, ImageRefused, Reason, of_os_error

__all__ = ["ImageRefused", "Reason", "read_bytes"]

MAX_BYTES = 512 * 2**20
"""Maximum size of a file: an uncompressed 16-bit TIFF of 85 megapixels."""

STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory"})
"""Schemes of the stores from which pictures are read with the user's rights."""


def read_bytes(uri: str) -> bytes:
    """All bytes of the picture at a URI; a region in the URI is ignored.

    Raises:
        ImageRefused: there is nothing to read; a retry would not help.
        ValueError: the URI is malformed.
        OSError: a failure of the machine, or a possibly temporary one of a store's network.
    """
    location = uris.Location.parse(uri)
    check_scheme(location.url)
    try:
        return _read(location)
    except network.DownloadError as error:
        raise _refusal(error) from error
    except (ImageRefused, ConnectionError, TimeoutError, MemoryError):
        raise
    except Exception as error:  # stores raise many classes for an address that is none
        if isinstance(error, OSError) and error.errno in SYSTEM_ERRORS:
            raise
        cause = str(error) or type(error).__name__
        raise ImageRefused("unreadable", f"it cannot be read: {cause[:500]}") from error


def check_scheme(url: str) -> None:
    """Refuse addresses that pictures are never read from, even if the user wrote them.

    fsspec knows schemes that log in to servers, read other files or the private network.

    Raises:
        ImageRefused: `forbidden`.
    """
    scheme = url.partition("://")[0]
    if scheme in ("file", *network.SCHEMES):
        return
    if scheme not in STORES:
        known = ", ".join(sorted({"file", *network.SCHEMES, *STORES}))
        raise ImageRefused("forbidden", f"its address must be of one of {known}")
    if "::" in url:
        raise ImageRefused("forbidden", "its address is a chain of several")


def _read(location: uris.Location) -> bytes:
    if location.row is not None and location.column is not None:
        return _check_size(table_cells.cell(location.url, location.row, location.column))
    if location.member is not None:
        if location.member.size > MAX_BYTES:
            raise ImageRefused("too-large", f"{location.member.size:,} bytes")
        return _check_size(tar_members.member(location.url, location.member))
    if location.pts is not None:
        return _check_size(video_frames.frame(location.url, location.pts))
    if location.url.startswith("file://"):
        return _read_local(uris.file_path(location.url))
    if location.url.startswith(("http://", "https://")):
        return _check_size(network.download(location.url, MAX_BYTES))
    return _read_remote(location.url)


def _refusal(error: network.DownloadError) -> ImageRefused:
    reason: Reason
    match error:
        case network.ForbiddenError():
            reason = "forbidden"
        case network.TooLargeError():
            reason = "too-large"
        case network.AbsentError():
            reason = "missing"
        case network.DeniedError():
            reason = "denied"
        case network.RateLimitedError():
            reason = "rate-limited"
        case network.UnavailableError():
            reason = "unavailable"
        case _:
            reason = "unreadable"
    return ImageRefused(reason, str(error))


def _check_size(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise ImageRefused("too-large", f"{len(data):,} bytes; at most {MAX_BYTES:,} are read")
    if not data:
        raise ImageRefused("empty", "there are no bytes in it")
    return data


def _read_local(path: str) -> bytes:
    with regular_file.opened(path) as file:
        return _read_unchanged(file)


def _read_unchanged(file: BinaryIO) -> bytes:
    before = os.fstat(file.fileno())
    if before.st_size > MAX_BYTES:
        raise ImageRefused("too-large", f"{before.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    data = file.read(MAX_BYTES + 1)
    after = os.fstat(file.fileno())
    if (len(data), after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ImageRefused("changed", "it was written to while it was read; run again")
    return _check_size(data)


def _read_remote(url: str) -> bytes:
    from storage import locations

    files, path = locations.file_system(uris.remote_path(url))
    try:
        info = files.info(path)
        if info["type"] == "directory":
            raise ImageRefused("not-a-file", "it is a directory")
        if (size := info.get("size") or 0) > MAX_BYTES:
            raise ImageRefused("too-large", f"{size:,} bytes; at most {MAX_BYTES:,} are read")
        return _check_size(files.cat_file(path))
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise of_os_error(error) from error

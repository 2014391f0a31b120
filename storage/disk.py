"""Names and bytes on a local disk that a power failure leaves as they are."""

from __future__ import annotations

import errno
import os
from typing import IO

from storage.errors import StoreError


def link(source: str, target: str) -> None:
    """Hard-link a file to a name that must not exist: create-if-absent of complete files.

    Raises:
        FileExistsError: the name is taken.
        StoreError: the file system has no hard links.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in {errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.EMLINK}:
            raise StoreError(
                f"The disk of {target} has no hard links, which versions need: "
                "put the store on another disk."
            ) from error
        raise


def make_folder(path: str) -> None:
    """Create a folder and its parents durably (fsync)."""
    if os.path.isdir(path):
        return
    make_folder(os.path.dirname(path))
    os.makedirs(path, exist_ok=True)
    sync_folder(os.path.dirname(path))


def sync(handle: IO[bytes]) -> None:
    """Flush a file to disk."""
    handle.flush()
    os.fsync(handle.fileno())


def sync_folder(path: str) -> None:
    """Flush the entries of a folder to disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

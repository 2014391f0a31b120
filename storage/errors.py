"""Errors of a store. Every message states the cause, then the remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}
NAME_TAKEN = {errno.ENOTDIR, errno.EEXIST}


class StoreError(Exception):
    """The operation failed; none of its changes are visible."""


class NotFoundError(StoreError):
    """No such store, artifact, version or tag; the message lists what exists."""


class DamagedError(StoreError):
    """A file of the store is not what was written.

    Attributes:
        path: The full path of the file.
        reason: What is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} is damaged ({self.reason}): run `repic repair`."


class QueryError(StoreError):
    """A query is not valid, or does more than read the tables of the store."""


class MovedError(StoreError):
    """A ref was moved by another process since it was read."""


class NotDeterministicError(StoreError):
    """The same fingerprint was published with different content."""


@contextmanager
def store_errors(path: str) -> Iterator[None]:
    """Convert an OSError that the user can fix, such as a full disk, to a StoreError.

    Any other OSError is re-raised unchanged.

    Args:
        path: Path for the message.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StoreError(
                f"No space left to write {path}: free some and run again; finished work is kept."
            ) from error
        if error.errno in NO_PERMISSION or isinstance(error, PermissionError):
            raise StoreError(
                f"No permission to write {path}: change the folder's owner or mode, "
                "or choose another store."
            ) from error
        if error.errno in NAME_TAKEN:
            raise StoreError(
                f"Cannot make {path}, because a file has the name of one of its folders: "
                "move it, or choose another store."
            ) from error
        raise

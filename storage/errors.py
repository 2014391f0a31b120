"""Errors of a store. Every message states the cause, then the remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
NO_PERMISSION = {errno.EACCES, errno.EPERM}
NAME_TAKEN = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
FULL_OR_FORBIDDEN = {*NO_SPACE, *NO_PERMISSION, errno.EROFS, *NAME_TAKEN}


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


class UnreachableError(StoreError):
    """The server of a store does not answer; it may be restarting."""


class QueryError(StoreError):
    """A query is not valid, or does more than read the tables of the store."""


class MovedError(StoreError):
    """A ref was moved by another process since it was read."""


class NotDeterministicError(StoreError):
    """The same fingerprint was published with different content."""


def without_conditions(where: str) -> StoreError:
    """The error that the server of a store does not create files only if they are absent."""
    return StoreError(
        f"The server of {where} ignores or refuses If-None-Match, so two writers would overwrite "
        "each other's versions: use a server with conditional writes, or a local folder."
    )


@contextmanager
def store_errors(path: str, action: str = "write") -> Iterator[None]:
    """Convert an OSError, such as a full disk, to a StoreError that names the path.

    FileNotFoundError is re-raised unchanged: whether absence is an error depends on the caller.

    Args:
        path: Path for the message; the error of an fsync names none.
        action: What failed: write, list, read or delete.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(sentence(error, path, action)) from error


def sentence(error: OSError, path: str, action: str = "write") -> str:
    """Cause and remedy of an error of the operating system, for the user."""
    if error.errno in NO_SPACE:
        return f"No space left to {action} {path}: free some and run again; finished work is kept."
    if error.errno == errno.EROFS:
        return f"Cannot {action} {path}: the disk is read-only; make it writable, or use another."
    if error.errno in NO_PERMISSION or isinstance(error, PermissionError):
        return (
            f"No permission to {action} {path}: change the folder's owner or mode, "
            "or choose another store."
        )
    if error.errno in NAME_TAKEN:
        return (
            f"Cannot {action} {path}, because a file has the name of one of its folders, or a "
            "folder that of a file: move it, or choose another store."
        )
    return (
        f"Cannot {action} {path} ({error.strerror or error}): check the disk or the connection, "
        "and run again; finished work is kept."
    )

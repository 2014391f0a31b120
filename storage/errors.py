"""What can go wrong with a store. Every message is one sentence and its remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST}


class StoreError(Exception):
    """The store cannot do what was asked; nothing half done is visible."""


class NotFoundError(StoreError):
    """No such store, artifact, version or tag; the message lists what exists."""


class MovedError(StoreError):
    """What a move was decided upon has moved meanwhile: look again, and decide again."""


class NotDeterministicError(StoreError):
    """The same fingerprint came with different rows: whatever made them is not deterministic."""


@contextmanager
def store_errors(path: str) -> Iterator[None]:
    """Turns what a person can mend, such as a full disk, into a StoreError.

    Any other OSError passes through unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreError(
                f"No space left to write {path}: free some and run again; finished work is kept."
            ) from error
        if error.errno in FORBIDDEN or isinstance(error, PermissionError):
            raise StoreError(
                f"No permission to write {path}: change the folder's owner or mode, "
                "or choose another store."
            ) from error
        if error.errno in IN_THE_WAY:
            raise StoreError(
                f"Cannot make {path}, because a file has the name of one of its folders: "
                "move it, or choose another store."
            ) from error
        raise

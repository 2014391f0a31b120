"""Temporary folders of local clusters: private, and gone with the build, or with the next one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from flows.local.files import locked

LOCK = "lock"
"""File of a folder whose lock its process holds."""


@contextmanager
def temporary(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """A folder that ends with this context.

    Those of this prefix that killed processes of this user have left are deleted.
    """
    beside = Path(parent or gettempdir())
    for left in beside.glob(f"{prefix}*/{LOCK}"):
        _delete_unless_in_use(left)
    with TemporaryDirectory(prefix=prefix, dir=beside, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        new = folder / f"{LOCK}.new"
        with locked(new):  # before it has the name by which another process finds it
            new.rename(folder / LOCK)
            yield folder


def _delete_unless_in_use(lock: Path) -> None:
    folder = lock.parent
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        with locked(lock, wait=False) as held:
            if held:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # its own process has just deleted it, or it cannot be read
        return

"""The folder in which the workers of one service share their counters.

Every process of a service holds a lock in it, which ends with the process however it ends. The
folder of a service that was killed has no holder, and the next service removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "repic-rewards-"
LOCK = "in-use"


@contextmanager
def metrics_folder() -> Iterator[str]:
    """A new folder, removed at the end; those that killed services left are removed first."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_if_stale(folder)
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        # Under another name until it is held, so that it is never seen without a holder.
        unheld = Path(name) / "new"
        unheld.touch()
        lock = _open(unheld)
        fcntl.flock(lock, fcntl.LOCK_SH)
        unheld.rename(Path(name) / LOCK)
        try:
            yield name
        finally:
            os.close(lock)


def hold(folder: str) -> None:
    """Hold the folder until this process ends."""
    fcntl.flock(_open(Path(folder) / LOCK), fcntl.LOCK_SH)


def _open(lock: Path) -> int:
    return os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)


def _remove_if_stale(folder: Path) -> None:
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return
        lock = _open(folder / LOCK)
    except OSError:  # not one of these folders, or gone
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # held
        pass
    finally:
        os.close(lock)

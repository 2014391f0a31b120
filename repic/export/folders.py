"""A folder that is there complete, or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from repic.errors import TargetError


@contextmanager
def new_folder(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """A new folder that takes the place of `folder` when the block ends without an error.

    If the block raises, `folder` is as it was; a killed process can leave a hidden folder beside
    it.

    Args:
        overwrite: Replace a folder that is not empty.

    Raises:
        TargetError: there is a file, or a folder that is not empty.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise TargetError(f"{folder} is no folder: give another one")
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise TargetError(f"{folder} is not empty: give a new folder, or --overwrite")
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        yield temporary
        if folder.exists():
            old = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
            folder.rename(old)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

"""Replace a file outside of a store: its readers see the old content or the new, never a part."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storage.disk import sync


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of a path when the block ends without an error.

    Missing folders are made, and the permissions of a file that is replaced stay. If the block
    raises, the path is as it was; a killed process can leave a hidden file beside it.

    Raises:
        OSError: the file cannot be written; the path is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            if path.exists():
                os.chmod(temporary, path.stat().st_mode & 0o777)
            yield file
            sync(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

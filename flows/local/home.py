"""Where Prefect keeps the files of a store: in a folder of this user, never in the store.

Prefect runs what its files say: settings name modules, and the database holds deployments with
commands and schedules. A store may come from somebody else, so nothing in it is read by Prefect,
and nothing in the working directory either. Each store has a folder named after its location.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from repic.config.paths import data_folder
from repic.errors import PrefectServerError

PARENT = "REPIC_PREFECT_HOME"
"""Environment variable with the folder that holds the folders of all stores."""


def prefect_home(store: str) -> Path:
    """PREFECT_HOME for this store: database, logs, results. It may not exist yet."""
    location = store.rstrip("/") if "://" in store else str(_folder(store))
    name = re.sub(r"[^A-Za-z0-9_-]", "_", location.rpartition("/")[2])[:40]
    digest = sha256(location.encode(errors="surrogateescape")).hexdigest()[:32]
    chosen = os.environ.get(PARENT)
    parent = Path(chosen).expanduser().resolve() if chosen else data_folder() / "prefect"
    return parent / f"{name}-{digest}"


def prepare(store: str) -> Path:
    """Create the PREFECT_HOME of a store if it is missing, for this user only.

    Of a store that an earlier version of repic served, it says once that `STORE/.prefect` is not
    used.

    Raises:
        PrefectServerError: the folder belongs to another user or cannot be created.
    """
    folder = prefect_home(store)
    is_new = not folder.exists()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(13, "it is not a folder of this user")
        folder.chmod(0o700)
    except OSError as error:
        raise PrefectServerError(
            f"Prefect's files cannot be kept in {folder} ({error.strerror}): choose another folder "
            f"of yours with {PARENT}."
        ) from error
    if is_new and "://" not in store and (earlier := _folder(store) / ".prefect").is_dir():
        print(
            f"repic: {earlier} is not used any more, since Prefect would run what its files say; "
            f"to keep its history, and only if you made it, move its files to {folder}.",
            file=sys.stderr,
            flush=True,
        )
    return folder


@contextmanager
def empty_folder() -> Iterator[None]:
    """Work in an empty folder for a moment, in which Prefect finds no settings.

    Whenever it makes settings, it reads `.env`, `prefect.toml` and `pyproject.toml` of the working
    directory.
    """
    with TemporaryDirectory() as folder, chdir(folder):
        yield


def _folder(store: str) -> Path:
    return Path(store).expanduser().resolve()

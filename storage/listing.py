"""Complete listings of folders on a local disk, and the numbers in the names of files.

Code that deletes what is not listed must see every file, or an error. So links to folders, broken
links and files that are not regular (pipes, devices) are errors here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence

from storage.errors import StoreError, store_errors

_NUMBERED = re.compile(r"\0(v?)([0-9]{6}|[1-9][0-9]{6,14})\.json(?=\0)")
"""Name of a numbered file, the number as `{number:06d}` writes it, between NULs."""


def sizes(top: str) -> dict[str, int]:
    """Path -> size in bytes of all files below a folder; empty if the folder does not exist.

    Raises:
        StoreError: the folder or one below it cannot be listed completely.
    """
    found: dict[str, int] = {}
    pending = [top]
    while pending:
        for entry in _entries(pending.pop()):
            if entry.is_dir():
                _check_no_link(entry)
                pending.append(entry.path)
            elif (size := _size(entry)) is not None:
                found[entry.path] = size
    return found


def paths(top: str) -> list[str]:
    """Paths of all files below a folder, in any order. Faster than `sizes`, as `names` is.

    Raises:
        StoreError: as `sizes`.
    """
    found: list[str] = []
    pending = [top]
    while pending:
        for entry in _entries(pending.pop()):
            if entry.is_file(follow_symlinks=False):
                found.append(entry.path)
            elif entry.is_dir():
                _check_no_link(entry)
                pending.append(entry.path)
            elif _size(entry) is not None:
                found.append(entry.path)
    return found


def names(folder: str) -> list[str]:
    """Names of the files in a folder itself, in any order; empty if the folder does not exist.

    Faster than `sizes`: what the folder says to be a file is not looked at.

    Raises:
        StoreError: as `sizes`.
    """
    entries = _entries(folder)
    found = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    if len(found) == len(entries):
        return found
    for entry in entries:
        if entry.is_dir():
            _check_no_link(entry)
        elif not entry.is_file(follow_symlinks=False) and _size(entry) is not None:
            found.append(entry.name)
    return found


def present(folder: str, chosen: Sequence[str]) -> set[str]:
    """Those of the names that `names` would list; the time does not depend on what else is there.

    Raises:
        StoreError: as `sizes`.
    """
    found = set()
    for name in chosen:
        with store_errors(folder, "list"):
            try:
                mode = os.lstat(f"{folder}/{name}").st_mode
            except FileNotFoundError:
                continue
        if not stat.S_ISREG(mode):
            return set(chosen) & set(names(folder))
        found.add(name)
    return found


def numbers(names: Iterable[str], prefix: str = "") -> list[int]:
    """Numbers of the files `<prefix>000123.json`, ascending; other names are left out.

    Args:
        prefix: Nothing, or `v`.
    """
    # One search in all names, between the one character that no name has, is the fastest.
    found = _NUMBERED.findall("\0".join(("", *names, "")))
    every = (int(digits) for before, digits in found if before == prefix)
    return sorted(number for number in every if number)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with store_errors(folder, "list"):
        try:
            with os.scandir(folder) as entries:
                return list(entries)
        except FileNotFoundError:
            if os.path.islink(folder):
                raise _dangling(folder) from None
    return []


def _check_no_link(folder: os.DirEntry[str]) -> None:
    if folder.is_symlink():
        raise StoreError(
            f"{folder.path} is a link to a folder, which a store must not have: put the folder "
            "itself in its place, or mount it there."
        )


def _size(entry: os.DirEntry[str]) -> int | None:
    """Size of a listed file in bytes; None if another process has removed it meanwhile."""
    try:
        status = os.stat(entry.path)
    except FileNotFoundError:
        if entry.is_symlink() and os.path.lexists(entry.path):
            raise _dangling(entry.path) from None
        return None
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
        raise StoreError(f"{entry.path} is not a regular file: move it away.")
    return status.st_size


def _dangling(path: str) -> StoreError:
    return StoreError(
        f"{path} is a link to a file or folder that is not there: mount its disk, or remove it."
    )

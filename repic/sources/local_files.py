"""Local folders and files of data sets."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from repic.errors import SourceError
from repic.images import regular_file, uris
from repic.images.refusal import ImageRefused

if TYPE_CHECKING:
    from repic import config

MAX_LINE = 65_536
"""Characters of a line, so that a file without line ends costs no memory."""


def local_path(settings: config.SourceSettings, what: str) -> Path:
    """The local path that `path` names; it need not exist.

    Args:
        what: What is read, for the message.

    Raises:
        SourceError: it is on a server.
    """
    uri = uris.to_uri(settings.path or "")
    if not uri.startswith("file://"):
        raise SourceError(
            f"{what} is read from a local disk, not from {uri}; download it (source.path)"
        )
    return Path(uris.file_path(uri))


def root(settings: config.SourceSettings, what: str) -> Path:
    """The folder that `path` names.

    Args:
        what: Name of the data set, for the message.

    Raises:
        SourceError: it is on a server, missing, or a file.
    """
    folder = local_path(settings, what)
    if not folder.is_dir():
        problem = "is a file; give its folder" if folder.exists() else "does not exist; give one"
        raise SourceError(f"the folder {folder} {problem} (source.path)")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise SourceError(f"the folder {folder} may not be read; change its rights (source.path)")
    return folder


def is_below(path: Path, folder: Path) -> bool:
    """Whether a path leads below a folder, whatever `..` is in it; links are not resolved."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def first_folder(places: Iterable[Path]) -> Path | None:
    """The first of these that is a folder."""
    return next((place for place in places if place.is_dir()), None)


def images_folder(settings: config.SourceSettings, places: Iterable[Path], what: str) -> Path:
    """The folder of photos: `source.images`, or else the first of the places that exists.

    Raises:
        SourceError: there is none, or it is not local.
    """
    if settings.images is None:
        if found := first_folder(places):
            return found
        raise SourceError(f"{what} not below {settings.path}; set source.images to their folder")
    uri = uris.to_uri(settings.images)
    if not uri.startswith("file://"):
        raise SourceError(f"{what} read from a local folder, not from {uri} (source.images)")
    folder = Path(uris.file_path(uri))
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}; set source.images to the photos' folder")
    return folder


def lines(path: Path) -> Iterator[str]:
    """Lines of a text file without the spaces around them; empty ones are left out.

    Raises:
        SourceError: the file cannot be read, is no UTF-8 text, or has a line beyond MAX_LINE.
    """
    with _readable(path), regular_file.opened(path) as file:
        listed = io.TextIOWrapper(file, encoding="utf-8-sig")
        while line := listed.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise SourceError(f"{path} is no list: it has a line of {MAX_LINE} characters")
            if stripped := line.strip():
                yield stripped


def text(path: Path, max_bytes: int) -> str:
    """Content of a text file.

    Raises:
        SourceError: the file cannot be read, is no UTF-8 text, or has more than `max_bytes`.
    """
    with _readable(path):
        return content(path, max_bytes).decode("utf-8-sig")


def content(path: Path, max_bytes: int) -> bytes:
    """Content of a file.

    Raises:
        SourceError: the file cannot be read, or has more than `max_bytes`.
    """
    with _readable(path), regular_file.opened(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise SourceError(f"{path} has more than {max_bytes >> 20} MB, which is not read")
    return data


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file into a `SourceError`."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 text; get it again or save it as UTF-8") from error
    except ImageRefused as refused:
        raise SourceError(f"{path} cannot be read: {refused.message}") from refused

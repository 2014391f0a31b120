"""Local folders and text files of data sets."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from repic.errors import SourceError
from repic.images import uris

if TYPE_CHECKING:
    from repic import config

_log = logging.getLogger(__name__)

MAX_LINE = 65_536
"""Characters of a line, so that a file without line ends costs no memory."""


def root(settings: config.SourceSettings, what: str) -> Path:
    """The folder that `path` names.

    Args:
        what: Name of the data set, for the message.

    Raises:
        SourceError: it is on a server, missing, or a file.
    """
    uri = uris.to_uri(settings.path or "")
    if not uri.startswith("file://"):
        raise SourceError(f"{what} is read from a local folder, not from {uri} (source.path)")
    folder = Path(uris.file_path(uri))
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
    try:
        with path.open(encoding="utf-8-sig") as file:
            while line := file.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    raise SourceError(f"{path} is no list: it has a line of {MAX_LINE} characters")
                if text := line.strip():
                    yield text
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 text; get it again or save it as UTF-8") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error


def say_skipped(settings: config.SourceSettings, skipped: Counter[str]) -> None:
    """Log what is not used, by reason."""
    for reason, count in sorted((+skipped).items()):
        _log.warning("%s: skipped %d %s", settings.path, count, reason)

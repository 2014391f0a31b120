"""What the owner of a folder of photos says about them: `labels.csv` or `labels.jsonl` in it.

A row is about one photo (`uri`) or about all photos below a folder (`folder`), and gives any of
`identity`, `label`, `box`, `caption` and `licence`. What a row says of a photo goes before what a
row says of its folder, and a deeper folder before a higher one. Several rows with a box about one
photo are several objects.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from repic.errors import SourceError
from repic.images.coordinates import Box
from repic.sources.base import Annotation, SourcePhoto

NAMES = ("labels.csv", "labels.jsonl")
MAX_BYTES = 256 << 20
"""Largest file that is read; a million photos need about 100 MB."""

_FIELDS = ("identity", "label", "caption", "licence")
_COLUMNS = ("uri", "folder", "box", *_FIELDS)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A row: what is said about a photo or folder; None where it says nothing."""

    where: str
    identity: str | None
    label: str | None
    caption: str | None
    licence: str | None
    box: Box | None = None


class OwnersWords:
    """All rows, by what they are about.

    Args:
        photos: URI, or path below the root, of a photo -> its rows.
        folders: Parts of the path of a folder below the root -> its rows.
    """

    def __init__(
        self, photos: dict[str, list[Entry]], folders: dict[tuple[str, ...], list[Entry]]
    ) -> None:
        self._photos = photos
        self._folders = folders
        self._unused = {entry.where for rows in photos.values() for entry in rows}

    def applied(self, photo: SourcePhoto, parts: Sequence[str]) -> SourcePhoto:
        """The photo with what its owner says; it keeps what the owner says nothing about.

        Args:
            parts: Path of the photo below the root.
        """
        own = self._photos.get("/".join(parts), []) + self._photos.get(photo.uri, [])
        self._unused -= {entry.where for entry in own}
        about = list(own)
        for depth in range(len(parts) - 1, -1, -1):
            about += self._folders.get(tuple(parts[:depth]), [])
        if not about:
            return photo
        said = {name: _first(about, name) for name in _FIELDS}
        boxes = [entry for entry in own if entry.box is not None]
        for name in ("identity", "label"):
            if len({getattr(entry, name) for entry in boxes}) > 1:
                said[name] = None  # each box has its own
        annotations = tuple(
            Annotation(entry.box, entry.label or "", entry.identity) for entry in boxes if entry.box
        )
        given: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        return replace(photo, **given, annotations=annotations)

    def warn_of_unused(self) -> None:
        """Log rows about photos that do not exist, a misspelt path for example."""
        if self._unused:
            _log.warning(
                "%d rows of the labels file are about photos that are not there, as %s",
                len(self._unused),
                min(self._unused),
            )


def _first(entries: list[Entry], name: str) -> str | None:
    return next((value for entry in entries if (value := getattr(entry, name))), None)


def parse(files: dict[str, bytes]) -> OwnersWords:
    """The rows of labels files.

    Args:
        files: Name, one of `NAMES` -> content.

    Raises:
        SourceError: a file or row is not valid; the message names the file and the row.
    """
    photos: dict[str, list[Entry]] = defaultdict(list)
    folders: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for name, content in files.items():
        for where, row in _rows(name, content):
            _add(row, where, photos, folders)
    return OwnersWords(photos, folders)


def _rows(name: str, content: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} is not UTF-8 text; save it as UTF-8") from error
    if name.endswith(".csv"):
        lines = io.StringIO(text, newline="")
        reader = csv.DictReader(lines, restkey="(more)", strict=True, delimiter=_delimiter(text))
        try:
            for row in reader:
                yield f"{name}, line {reader.line_num}", {k: v for k, v in row.items() if v}
        except csv.Error as error:
            raise SourceError(f"{name}, line {reader.line_num}: it is not CSV: {error}") from error
        return
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{where}: it is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise SourceError(f'{where}: write a JSON object, such as {{"uri": ..., "label": ...}}')
        yield where, row


def _delimiter(text: str) -> str:
    """What parts the columns: a comma, or what spreadsheets of other languages write for it."""
    header = text.partition("\n")[0]
    parted = {mark: {name.strip(' "\r') for name in header.split(mark)} for mark in ",;\t"}
    fitting = [mark for mark, names in parted.items() if names <= set(_COLUMNS)]
    return fitting[0] if fitting else ","


def _add(
    row: dict[str, Any],
    where: str,
    photos: dict[str, list[Entry]],
    folders: dict[tuple[str, ...], list[Entry]],
) -> None:
    if unknown := sorted(str(column) for column in row.keys() - set(_COLUMNS)):
        raise SourceError(
            f"{where}: there is no column {', '.join(unknown)}; use {', '.join(_COLUMNS)}"
        )
    uri, folder, identity, label, caption, licence = (
        _text(row.get(name), name, where) for name in ("uri", "folder", *_FIELDS)
    )
    box = _box(row.get("box"), where)
    if (uri is None) == (folder is None):
        raise SourceError(f"{where}: give either the uri of a photo or a folder")
    if uri is not None:
        entry = Entry(uri, identity, label, caption, licence, box)
        photos[uri if "://" in uri else _path(uri)].append(entry)
        return
    if box is not None:
        raise SourceError(f"{where}: a box needs the uri of its photo, not a folder")
    assert folder is not None
    path = _path(folder)
    folders[tuple(path.split("/")) if path else ()].append(
        Entry(folder, identity, label, caption, licence)
    )


def _path(text: str) -> str:
    """A path below the root without `./` and a final slash; the root itself is empty."""
    path = PurePosixPath(text.replace("\\", "/")).as_posix()
    return "" if path == "." else path


def _text(value: Any, name: str, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise SourceError(f"{where}: {name} is text, not {value!r:.60}")
    return (
        " ".join(value.split()) or None if name in ("label", "caption") else value.strip() or None
    )


def _box(value: Any, where: str) -> Box | None:
    """`[x1, y1, x2, y2]` in pixels of the upright photo, as a list or as text."""
    if value is None or value == "":
        return None
    numbers = value.strip("[]() ").replace(",", " ").split() if isinstance(value, str) else value
    try:
        x1, y1, x2, y2 = (float(number) for number in numbers)
    except (TypeError, ValueError, OverflowError):
        x1 = y1 = x2 = y2 = math.nan
    if not (all(map(math.isfinite, (x1, y1, x2, y2))) and x1 < x2 and y1 < y2):
        raise SourceError(
            f"{where}: {value!r:.60} is not a box; write x1, y1, x2, y2 in pixels: left, top, "
            "right, bottom"
        )
    return Box(x1, y1, x2, y2)

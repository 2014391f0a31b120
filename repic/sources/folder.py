"""Photos of a folder and all its sub-folders, at an address from which photos are read (`fetch`).

A file counts as a photo if its suffix or its first bytes are those of an image format. Anything
with such a name is yielded, including directories, dangling links and files without read
permission: the stage that opens it reports the reason, so nothing is skipped silently. Other files
and hidden files are not photos.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from repic.errors import SourceError
from repic.images import fetch, formats, uris
from repic.images.refusal import ImageRefused
from repic.sources import labels_file
from repic.sources.base import SourcePhoto

if TYPE_CHECKING:
    from repic import config

SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jfif"),
        *(".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
        *(".tif", ".tiff", ".webp"),
    }
)
_NO_PHOTOS = frozenset({"__MACOSX", "@eaDir", "lost+found"})


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos under `settings.path`, in no particular order.

    With `identity: folder`, the identity is the name of the first folder below the root; photos in
    the root itself have none. What a labels file in the root says goes before folder names.

    Raises:
        SourceError: the folder does not exist, or its labels file is not valid.
    """
    root = uris.to_uri(settings.path or "")
    local = root.startswith("file://")
    candidates = local_candidates(uris.file_path(root)) if local else _remote(root)
    words = labels_file.parse(_labels_files(root))
    for uri, parts in candidates:
        folder = _text(parts[0]) if len(parts) > 1 else None
        photo = SourcePhoto(
            uri=uri,
            source=settings.kind,
            licence=settings.licence,
            identity=folder if settings.identity == "folder" else None,
            label=" ".join(folder.replace("_", " ").split()) if folder else None,
        )
        if settings.label != "folder":
            photo = replace(photo, label=None)
        photo = words.applied(photo, [_text(part) for part in parts])
        yield replace(photo, identity=None) if settings.identity == "none" else photo
    words.warn_of_unused()


def _labels_files(root: str) -> dict[str, bytes]:
    """Content of the labels files in the root."""
    files, folder = _open(root)
    contents = {}
    for name in labels_file.NAMES:
        path = f"{folder.rstrip('/')}/{name}"
        try:
            with files.open(path, "rb") as file:
                contents[name] = file.read(labels_file.MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error}; repair or remove it") from error
        if len(contents[name]) > labels_file.MAX_BYTES:
            raise SourceError(f"{path} has more than {labels_file.MAX_BYTES >> 20} MB; split it up")
    return contents


def _open(root: str) -> tuple[Any, str]:
    """The fsspec file system of a URI, and the path of the URI in it."""
    import fsspec

    if root.startswith("file://"):
        return fsspec.filesystem("file"), uris.file_path(root)
    if root.endswith("://"):
        raise SourceError(f"{root} names no folder; give an existing one (source.path)")
    try:
        fetch.check_scheme(root)
        files, folder = fsspec.url_to_fs(uris.remote_path(root))
    except ImageRefused as error:
        raise SourceError(f"{root} is no folder of photos: {error.message} (source.path)") from None
    except (ImportError, ValueError) as error:
        raise SourceError(f"{root} cannot be opened: {error} (source.path)") from error
    return files, folder


def _text(name: str) -> str:
    """A file name, of any bytes, as text that a table can store."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _has_photo_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name in _NO_PHOTOS


def local_candidates(root: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """URI of every candidate, and its path below the root in parts.

    Linked directories are followed after all real ones, and each directory is entered once. So
    loops of links end, and a photo with several paths gets its real path.
    """
    if not os.path.exists(root):
        raise SourceError(f"there is no folder {_text(root)}; give an existing one (source.path)")
    if not os.path.isdir(root):
        raise SourceError(f"{_text(root)} is a file; give its folder (source.path)")
    real: list[tuple[str, tuple[str, ...]]] = [(root, ())]
    linked: list[tuple[str, tuple[str, ...]]] = []
    entered: set[tuple[int, int]] = set()
    while real or linked:
        folder, parts = real.pop() if real else linked.pop(0)
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                listing = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield uris.file_uri(folder), (*parts, "")
            continue
        for entry in listing:
            if _is_ignored(entry.name):
                continue
            below = (*parts, entry.name)
            if _is_directory(entry):
                (linked if entry.is_symlink() else real).append((entry.path, below))
                if not _has_photo_suffix(entry.name):
                    continue
            if _has_photo_suffix(entry.name) or _has_photo_signature(entry.path):
                yield uris.file_uri(entry.path), below


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _has_photo_signature(path: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return formats.sniff(file.read(formats.HEAD_BYTES)) is not None
    except OSError:
        return False


def _remote(root: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    files, folder = _open(root)
    if not files.exists(folder):
        raise SourceError(f"there is no folder {root}; give an existing one (source.path)")
    others = []
    for path in files.find(folder):
        parts = PurePosixPath(path).relative_to(folder).parts
        if any(_is_ignored(part) for part in parts):
            continue
        if _has_photo_suffix(path):
            yield uris.remote_uri(files.unstrip_protocol(path)), parts
        else:
            others.append((path, parts))
    for (path, parts), head in zip(others, _heads(files, [p for p, _ in others]), strict=True):
        if isinstance(head, bytes) and formats.sniff(head):
            yield uris.remote_uri(files.unstrip_protocol(path)), parts


def _heads(files: Any, paths: list[str]) -> Iterable[bytes | Exception]:
    """First bytes of many remote files, fetched concurrently if the store supports it."""
    if not paths:
        return []
    heads: list[bytes | Exception] = files.cat_ranges(paths, 0, formats.HEAD_BYTES)
    return heads

"""Photos of a folder and all its sub-folders, at an address from which photos are read (`fetch`).

A file counts as a photo if its suffix or its first bytes are those of an image format. Anything
with such a name is yielded, including directories, dangling links and files without read
permission: the stage that opens it reports the reason, so nothing is skipped silently. Other files
and hidden files are not photos.

An identity is who or what the main object of a photo is: the name of one of its folders, or what a
labels file in the root says, also of each box.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from repic.errors import SourceError
from repic.images import fetch, formats, uris
from repic.images.refusal import ImageRefused
from repic.sources import captions_beside, folder_levels, labels_file
from repic.sources.base import SourceFacts, SourcePhoto
from storage import locations

if TYPE_CHECKING:
    from repic import config

SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jfif"),
        *(".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
        *(".tif", ".tiff", ".webp"),
    }
)
_NO_PHOTOS = frozenset(
    {"__MACOSX", "@eaDir", "lost+found", "#recycle", "$RECYCLE.BIN", "System Volume Information"}
)

FACTS = SourceFacts(
    path="a folder or URL, with all sub-folders",
    identity="name of a sub-folder (`folder`, `folder:LEVEL`), or a labels file",
    boxes="labels file",
    captions="labels file, or texts beside photos",
    licence="labels file, or `source.licence`",
    lacks="expressions",
)


Parts = tuple[str, ...]
"""Path of a photo below the root."""


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos under `settings.path`, in no particular order.

    With `identity: folder`, one of the photo's folders is its identity: see `folder_levels`.
    What a labels file in the root says goes before names of folders and texts beside photos.

    Raises:
        storage.errors.StoreError: a server of photos cannot be reached, or refuses the credentials.
        SourceError: the folder does not exist, its labels file is not valid, or several levels of
            folders can be identities.
    """
    root = uris.to_uri(settings.path or "")
    candidates, texts = _local(root) if root.startswith("file://") else _remote(root)
    words = labels_file.parse(_labels_files(root))
    captions = captions_beside.read(texts)
    found = []
    for uri, parts in candidates:
        photo = SourcePhoto(
            uri, settings.kind, licence=settings.licence, caption=captions.get(parts)
        )
        names = tuple(map(_text, parts))
        found.append((words.applied(photo, names), names[:-1]))
    words.warn_of_unused()
    yield from _with_folders(found, settings)


def _with_folders(
    found: list[tuple[SourcePhoto, folder_levels.Folders]], settings: config.SourceSettings
) -> Iterator[SourcePhoto]:
    """Photos with the identities and labels that their folders give them."""
    level = folder_levels.Level.of_setting(settings.identity)
    if settings.identity_from == "folder":
        unlabelled = [folders for photo, folders in found if photo.identity is None]
        if settings.identity == "folder":
            folder_levels.check(settings.path or "", unlabelled)
        folder_levels.warn(settings.path or "", level, unlabelled)
    for photo, folders in found:
        name = level.identity(folders)
        if settings.label == "folder" and name:
            photo = replace(photo, label=photo.label or " ".join(name.replace("_", " ").split()))
        identity = photo.identity
        if settings.identity_from == "folder":
            identity = identity or name
        yield replace(photo, identity=None if settings.identity == "none" else identity)


def _local(root: str) -> tuple[list[tuple[str, Parts]], Iterator[tuple[Parts, dict[str, bytes]]]]:
    """Candidates in a local folder, and the texts beside them."""
    folder = uris.file_path(root)
    candidates = list(local_candidates(folder))

    def texts() -> Iterator[tuple[Parts, dict[str, bytes]]]:
        for _, parts in candidates:
            stem = os.path.splitext(os.path.join(folder, *parts))[0]
            contents = {suffix: _beginning(stem + suffix) for suffix in captions_beside.SUFFIXES}
            yield parts, {suffix: data for suffix, data in contents.items() if data is not None}

    return candidates, texts()


def _beginning(path: str) -> bytes | None:
    """As much of a text as is read, and a byte more; None if there is none."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with open(path, "rb") as file:
            return file.read(captions_beside.MAX_BYTES + 1)
    except (OSError, ValueError):
        return None


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
        files, folder = locations.file_system(uris.remote_path(root))
        return locations.fit(files), folder
    except ImageRefused as error:
        raise SourceError(f"{root} is no folder of photos: {error.message} (source.path)") from None
    except (ImportError, ValueError) as error:
        raise SourceError(f"{root} cannot be opened: {error} (source.path)") from error


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


def _remote(root: str) -> tuple[list[tuple[str, Parts]], Iterator[tuple[Parts, dict[str, bytes]]]]:
    """Candidates at a remote address, and the texts beside them."""
    files, folder = _open(root)
    if not files.exists(folder):
        raise SourceError(f"there is no folder {root}; give an existing one (source.path)")
    paths = {path: PurePosixPath(path).relative_to(folder).parts for path in files.find(folder)}
    paths = {path: p for path, p in paths.items() if not any(map(_is_ignored, p))}
    others = [path for path in paths if not _has_photo_suffix(path)]
    heads = _beginnings(files, others, formats.HEAD_BYTES)
    unnamed = {path for path, head in heads if formats.sniff(head)}
    chosen = [path for path in paths if _has_photo_suffix(path) or path in unnamed]
    beside = {
        f"{os.path.splitext(path)[0]}{suffix}": (paths[path], suffix)
        for path in chosen
        for suffix in captions_beside.SUFFIXES
    }

    def texts() -> Iterator[tuple[Parts, dict[str, bytes]]]:
        present = [path for path in beside if path in paths and path not in unnamed]
        contents: dict[Parts, dict[str, bytes]] = defaultdict(dict)
        for path, content in _beginnings(files, present, captions_beside.MAX_BYTES + 1):
            parts, suffix = beside[path]
            contents[parts][suffix] = content
        yield from contents.items()

    return [
        (uris.remote_uri(files.unstrip_protocol(path)), paths[path]) for path in chosen
    ], texts()


def _beginnings(files: Any, paths: list[str], count: int) -> Iterator[tuple[str, bytes]]:
    """First bytes of many remote files, fetched concurrently if the store supports it."""
    if paths:
        for path, content in zip(paths, files.cat_ranges(paths, 0, count), strict=True):
            if isinstance(content, bytes):
                yield path, content

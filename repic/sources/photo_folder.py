"""Where the photos of an annotation file lie, as data sets are unpacked.

`annotations/instances_val2017.json` lies beside `val2017/` or `images/`, and Objects365 names
`images/v1/patch8/1.jpg` what is unpacked to `patch8/1.jpg`. One folder and one number of leading
folders to drop hold for all names of a file, so that no photo is taken for another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from repic.images import uris
from repic.sources import contained

_SAMPLE = 200
_MOST_DROPPED = 3


def find(path: str, images: str | None, names: Sequence[str]) -> tuple[str, int]:
    """URI of the folder of photos, and how many leading folders of their names to drop.

    Args:
        path: URI of the annotation file.
        images: URI of the folder that the user gives, if any.
        names: File names in the annotation file.
    """
    default = images or path.rpartition("/")[0]
    if not default.startswith("file://"):
        return default, 0
    candidates = [default] if images else list(_folders(Path(uris.file_path(path))))
    sample = names[:: len(names) // _SAMPLE + 1]
    found, drop = 0, 0
    folder = default
    for dropped in range(_MOST_DROPPED + 1):
        for candidate in candidates:
            held = sum(_is_file(uri_of(candidate, name, dropped)) for name in sample)
            if held > found:
                found, folder, drop = held, candidate, dropped
    return folder, drop


def uri_of(folder: str, name: str, drop: int) -> str | None:
    """URI of the photo of that name; None if no file can have it."""
    if "\\" in name and "/" not in name:  # written on Windows
        name = name.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if drop and _is_plain(name) and len(parts) > drop:
        name = "/".join(parts[drop:])
    try:
        return contained.uri_of(folder, name)
    except ValueError:
        return None


def _is_file(uri: str | None) -> bool:
    return uri is not None and uri.startswith("file://") and os.path.isfile(uris.file_path(uri))


def _is_plain(name: str) -> bool:
    """Whether it is a path that can only lead below a folder."""
    return not uris.is_url(name) and not name.startswith("/") and ".." not in name.split("/")


def _folders(file: Path) -> Iterator[str]:
    """Folders where the photos of a file may be; a folder `annotations` is a part of a data set."""
    places = [file.parent]
    if file.parent.name == "annotations":
        root, part = file.parent.parent, file.stem.rpartition("_")[2]
        places += [root / part, root / "images" / part, root / "images", root]
    for place in places:
        if place.is_dir():
            yield uris.file_uri(place)

"""Photos and boxes in the form of YOLO.

- `path`: `data.yaml`, or its folder: `names`, and `train`, `val` and `test`, each a folder, a list
  of photos (`.txt`) or several of these, below `path:` or the folder of the file.
- `images`: the folder that all of them stay in, if that is another one than the file's.

The labels of `images/x.jpg` are in `labels/x.txt`, those of a photo in another folder beside it. A
row is a class and x, y of the center, width and height, as shares of the upright photo; or a class
and the corners of an outline, whose box is taken. There are no identities: a class is a category.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import coco_fields, contained, folder, local_files, plain_yaml
from repic.sources.base import (
    SHARES,
    Annotation,
    SourceFacts,
    SourcePhoto,
    say_skipped,
    split_named,
    strictest,
)

if TYPE_CHECKING:
    from repic import config

MAX_BYTES = 4 << 20
"""Largest data.yaml that is read."""

FACTS = SourceFacts(
    path="`data.yaml` or its folder",
    identity="none: a class is a category",
    boxes="boxes, or those of outlines",
    splits="`train`, `val` and `test` of the file",
    lacks="expressions, captions, a licence",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos of all splits, each once.

    Raises:
        SourceError: there is no data.yaml, it has another form, or a part leads elsewhere.
    """
    file = _file(settings)
    data = _read(file)
    names = _names(file, data.get("names"))
    root = local_files.images_folder(settings, [file.parent], "photos of YOLO are").absolute()
    skipped: Counter[str] = Counter()
    splits: dict[str, str] = {}
    trained = set(_entries(data.get("train")))
    for part in ("train", "val", "test"):
        entries = [e for e in _entries(data.get(part)) if part == "train" or e not in trained]
        split = split_named(part) if entries else None
        for uri in (u for e in entries for u in _photos_of(e, file, data, root, skipped)):
            splits[uri] = strictest((split, splits.get(uri))) or "train"
    root_uri = uris.file_uri(root)
    has_keypoints = bool(data.get("kpt_shape"))
    for uri, split in splits.items():
        photo = SourcePhoto(uri, settings.kind, settings.licence, drawn_on=SHARES, split=split)
        photo = contained.checked(photo, root_uri)
        if type(photo) is SourcePhoto:
            path = _label_file(Path(uris.file_path(uri)), root)
            photo = replace(photo, annotations=tuple(_labels(path, names, has_keypoints, skipped)))
        yield photo
    say_skipped(settings.path, skipped)


def _file(settings: config.SourceSettings) -> Path:
    path = uris.to_uri(settings.path or "")
    if path.lower().endswith((".yaml", ".yml")) and path.startswith("file://"):
        return Path(uris.file_path(path))
    root = local_files.root(settings, "YOLO")
    found = [root / "data.yaml", *sorted([*root.glob("*.yaml"), *root.glob("*.yml")])]
    for file in found:
        if file.is_file():
            return file
    raise SourceError(f"there is no data.yaml in {root}; give the file (source.path)")


def _read(file: Path) -> dict[str, Any]:
    text = local_files.text(file, MAX_BYTES)
    try:
        data = plain_yaml.loads(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        where = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"{file} is not YAML: {where}") from error
    if not isinstance(data, dict) or not any(data.get(part) for part in ("train", "val", "test")):
        raise SourceError(f"{file} is no data.yaml of YOLO: it needs names and train, val or test")
    return data


def _names(file: Path, names: Any) -> dict[int, str]:
    """Name of each class by its number."""
    listed = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(listed, dict) or not listed:
        raise SourceError(f"{file} has no names of its classes; add names: [dog, cat, ...]")
    return {
        int(number): coco_fields.sentence(str(name))
        for number, name in listed.items()
        if str(number).isdecimal()
    }


def _entries(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [entry for entry in listed if isinstance(entry, str) and entry]


def _photos_of(
    entry: str, file: Path, data: dict[str, Any], root: Path, skipped: Counter[str]
) -> Iterator[str]:
    """URIs of the photos in a folder, or of a list of them.

    Raises:
        SourceError: it does not exist, or lies outside of the root.
    """
    bases = [file.parent, root]
    if isinstance(data.get("path"), str):
        bases.insert(0, file.parent / data["path"])
    short = entry.removeprefix("../")  # as Roboflow writes what lies beside the file
    places = [base / name for base in bases for name in dict.fromkeys((entry, short))]
    place = next((p for p in places if os.path.exists(p)), None)
    if place is None:
        raise SourceError(
            f"{file} names {entry}, which does not exist in {root}; correct it there, as a path "
            "from the folder of the file"
        )
    if not local_files.is_below(place, root):
        raise SourceError(
            f"{file} names {entry}, which lies outside of {root}; if you trust it, set "
            "source.images to its folder"
        )
    if place.is_dir():
        yield from (uri for uri, _ in folder.local_candidates(str(place)))
        return
    for line in local_files.lines(place):
        near = [base / line for base in (place.parent, *bases)]
        found = next((p for p in near if os.path.isfile(p)), near[0])
        try:
            yield contained.uri_of(uris.file_uri(found.parent), found.name)
        except ValueError:
            skipped[f"lines of {place.name} that name no photo"] += 1


def _label_file(photo: Path, root: Path) -> Path:
    """File of the labels of a photo; the last folder `images` of its path becomes `labels`."""
    parts = list(photo.parts)
    for place in range(len(parts) - 2, len(root.parts) - 2, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _labels(
    path: Path, names: dict[int, str], has_keypoints: bool, skipped: Counter[str]
) -> Iterator[Annotation]:
    """Objects of a file of labels, with boxes as shares of the photo."""
    if not os.path.isfile(path):
        skipped["photos without a file of labels"] += 1
        return
    try:
        rows = list(local_files.lines(path))
    except SourceError:
        skipped["files of labels that cannot be read"] += 1
        return
    for row in dict.fromkeys(rows):
        try:
            number, *values = (float(word) for word in row.split())
        except ValueError:
            number, values = math.nan, []
        box = _box(values, has_keypoints)
        if box is None or not number.is_integer():
            skipped["rows of labels that are no class and box"] += 1
        elif int(number) not in names:
            skipped["rows of labels whose class has no name in data.yaml"] += 1
        else:
            yield Annotation(box, names[int(number)])


def _box(values: list[float], has_keypoints: bool) -> Box | None:
    """Box in [0, 1] of center and size, or of the corners of an outline."""
    if not all(map(math.isfinite, values)):
        return None
    if len(values) == 4 or (has_keypoints and len(values) > 4):
        x, y, width, height = values[:4]
        corners = (x - width / 2, y - height / 2, width, height)
    elif len(values) >= 6 and len(values) % 2 == 0:
        xs, ys = values[::2], values[1::2]
        corners = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    else:
        return None
    if max(values[:4]) > 1.5:  # pixels; a little more than 1 is rounding
        return None
    return coco_fields.box(corners, 1, 1)

"""Files of reference captions: COCO's form, a map from photos to captions, or a caption file.

    {"images": [{"id": 9, "file_name": "9.jpg"}],
     "annotations": [{"image_id": 9, "caption": "A dog."}]}
    {"photos/9.jpg": ["A dog.", "A brown dog."]}
    [["photos/9.jpg", ["<Ann>"], "A dog."], ...]

A photo is looked up by its path, then by its folder and name, then by its name, so that a caption
file and its references may have been made on different machines.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from repic.errors import CaptionError
from repic.evaluation.records import CaptionFile

MAX_BYTES = 1 << 30
FORM = (
    "give COCO captions (images, annotations), a map from each photo to a list of captions, or a "
    "file of captions"
)


class ReferenceCaptions(Mapping[str, tuple[str, ...]]):
    """Photo -> its reference captions."""

    def __init__(self, captions: Mapping[str, tuple[str, ...]]) -> None:
        self._captions = {_normal(photo): texts for photo, texts in captions.items()}
        self._by_end: dict[str, set[str]] = defaultdict(set)
        for photo in self._captions:
            for end in _ends(photo):
                self._by_end[end].add(photo)

    def __getitem__(self, photo: str) -> tuple[str, ...]:
        """
        Raises:
            CaptionError: none are known, or several photos of the file have this name.
        """
        path = _normal(photo)
        if path in self._captions:
            return self._captions[path]
        for end in _ends(path):
            found = self._by_end.get(end, set())
            if len(found) == 1:
                return self._captions[next(iter(found))]
            if found:
                raise CaptionError(
                    f"{len(found)} photos of the reference captions are called {end}: give their "
                    "folders, as in the captions that are scored"
                )
        raise CaptionError(
            f"{photo} has no reference caption: add it, or score only photos that have one"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._captions)

    def __len__(self) -> int:
        return len(self._captions)


def _normal(photo: str) -> str:
    return str(PurePosixPath(photo.replace("\\", "/")))


def _ends(path: str) -> list[str]:
    """The path, its folder and name, its name; the longest first."""
    parts = path.split("/")
    return list(dict.fromkeys([path, "/".join(parts[-2:]), parts[-1]]))


def read_reference_captions(path: Path) -> ReferenceCaptions:
    """The reference captions of a file.

    Raises:
        CaptionError: the file is missing, or has another form.
    """
    if not path.is_file():
        raise CaptionError(f"there is no file {path}; {FORM}")
    if path.stat().st_size > MAX_BYTES:
        raise CaptionError(f"{path} is larger than {MAX_BYTES >> 20} MiB; {FORM}")
    found: dict[str, list[str]] = defaultdict(list)
    for photo, text in _pairs(path):
        found[photo].append(text)
    return ReferenceCaptions({photo: tuple(texts) for photo, texts in found.items()})


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Photos with one of their captions each."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        content = None  # perhaps JSON lines
    is_row = isinstance(content, Mapping) and isinstance(content.get("caption"), str)
    if is_row or not isinstance(content, Mapping):
        yield from ((record.photo, record.caption) for record in CaptionFile(path))
        return
    try:
        yield from _coco(content) if "annotations" in content else _map(content)
    except (KeyError, TypeError, AttributeError):
        raise CaptionError(f"{path} holds no reference captions; {FORM}") from None


def _coco(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = {image["id"]: image["file_name"] for image in content["images"]}
    for annotation in content["annotations"]:
        yield names[annotation["image_id"]], _text(annotation["caption"])


def _map(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for photo, texts in content.items():
        if not isinstance(texts, list):
            raise TypeError
        yield from ((photo, _text(text)) for text in texts)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value

"""The JSON files of Google Takeout: the people of a photo, and the album of a folder."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repic.sources import local_files
from repic.sources.folder_levels import named
from repic.sources.xmp import name_of

TAKEOUT_NAME = 46
"""Characters to which Google Takeout cuts the name of a JSON file, without `.json`."""

_SUPPLEMENT = ".supplemental-metadata"
_COUNTER = re.compile(r"\((\d+)\)$")
_EDITED = re.compile(r"-(edited|bearbeitet|modifié|editado|modificato)$")
_MAX_JSON = 2**20
_OF_PHOTOS = {"photoTakenTime", "creationTime", "imageViews", "url", "geoData", "people"}
"""Keys that the file of a photo has, and that of an album has not."""
_PHOTO = re.compile(r"\.\w{3,4}$")
_YEAR = re.compile(r"(?:photo|foto|bilder|zdj|фото|снимк)\S*(?: \S+)? (?:19|20)\d\d", re.IGNORECASE)
"""Folders of all photos of a year, `Photos from 2020` in some languages: no albums."""


@dataclass(frozen=True)
class _TakeoutFile:
    """A JSON file of Google Takeout: start of the photo's name, and the people on the photo."""

    prefix: str
    people: tuple[str, ...]


@dataclass(frozen=True)
class TakeoutFolder:
    """The JSON files of one folder.

    Attributes:
        files: Those of photos, by the number of the copy.
        titles: What the files of albums call it.
    """

    files: dict[str, list[_TakeoutFile]] = field(default_factory=lambda: defaultdict(list))
    titles: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, path: Path, counts: Counter[str]) -> TakeoutFolder:
        """Read the JSON files of a folder; those of other programs are ignored."""
        found = cls()
        for file in sorted(path.glob("*.json")):
            data = _read_json(file, counts)
            if isinstance(data, dict) and isinstance(data.get("title"), str):
                if not _OF_PHOTOS & data.keys() and not _PHOTO.search(data["title"]):
                    found.titles.add(data["title"])
                stem, counter = _without_counter(file.name.removesuffix(".json"))
                found.files[counter].append(_TakeoutFile(_photo_prefix(stem), _people(data)))
        return found

    def album(self, folder: str) -> str | None:
        """The album that the folder is: its title, or its name where Takeout has no files.

        Folders of a year or a date are no albums; neither is one with several titles.
        """
        if self.files and not self.titles:
            return None
        titles = {title.strip() for title in self.titles} or {folder}
        title = titles.pop() if len(titles) == 1 else ""
        return title if named((title,)) and not _YEAR.fullmatch(title) else None

    def people(self, name: str) -> tuple[str, ...]:
        """The people of a photo; none unless exactly one file belongs to it.

        The counter of a copy stands before the suffix of a photo, `IMG(1).jpg`, and at the end of
        its JSON file, `IMG.jpg(1).json`. An edited photo shares the file of its original.
        """
        stem, suffix = os.path.splitext(name)
        stem, counter = _without_counter(_EDITED.sub("", stem))
        stem = _EDITED.sub("", stem)
        names = {f"{stem}{suffix}", stem}
        cut = f"{stem}{suffix}"[:TAKEOUT_NAME]
        matching = [
            file
            for file in self.files.get(counter, ())
            if file.prefix in names or (len(cut) == TAKEOUT_NAME and file.prefix == cut)
        ]
        return matching[0].people if len(matching) == 1 else ()


def _without_counter(stem: str) -> tuple[str, str]:
    match = _COUNTER.search(stem)
    return (stem[: match.start()], match[1]) if match else (stem, "")


def _photo_prefix(stem: str) -> str:
    """Name of a JSON file without `.supplemental-metadata`, which may be cut after any letter."""
    if _SUPPLEMENT in stem:
        return stem.partition(_SUPPLEMENT)[0]
    if len(stem) >= TAKEOUT_NAME - 1:
        for length in range(len(_SUPPLEMENT) - 1, 1, -1):
            if stem.endswith(_SUPPLEMENT[:length]):
                return stem[:-length]
    return stem


def _read_json(path: Path, counts: Counter[str]) -> Any:
    try:
        return json.loads(local_files.content(path, _MAX_JSON))
    except (ValueError, RecursionError):
        counts["JSON files that cannot be read"] += 1
        return None


def _people(data: dict[str, Any]) -> tuple[str, ...]:
    listed = data.get("people")
    entries = listed if isinstance(listed, list) else []
    people = [entry.get("name") for entry in entries if isinstance(entry, dict)]
    names = (name_of(name) for name in people if isinstance(name, str))
    return tuple(dict.fromkeys(name for name in names if name))

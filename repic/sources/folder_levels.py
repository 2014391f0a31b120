"""Which folder of a photo's path is its identity.

A folder is *named* unless its name only orders photos: a split, a date, a camera's folder, the
number of a shard, or a word such as `images`. The identity is the first named folder below the
root. If the paths leave it open whether that one or a deeper one is meant, the user chooses.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from repic.errors import SourceError
from repic.sources.folder_dates import is_date, is_part

Folders = tuple[str, ...]
"""Names of the folders of a photo, from the root (which is not one of them) to the photo."""

EXAMPLES = 3
"""Identities that are shown for each choice."""

SPREAD = 3
"""Names with and without a letter from which one- or two-digit names look like those of hashes."""

_log = logging.getLogger(__name__)

_SPLIT = (
    "(?:train(?:ing)?|val(?:id(?:ation)?)?|dev|test(?:ing)?|eval(?:uation)?|trainval|minival|"
    "holdout|query|gallery)"
)
_OTHERS = (
    re.compile(rf"(?:bounding box )?{_SPLIT} ?(?:set|all|data|images|photos|split|{_SPLIT}|\d+)?"),
    re.compile(
        r"(?:part|shard|chunk|fold|split|batch|subset|bucket|data|images) ?\d+(?: ?of ?\d+)?"
    ),
    re.compile(r"\d+ ?x ?\d+|\d+px"),
    re.compile(r"(?:new|untitled) folder(?: ?\(?\d+\)?)?"),
)
_NUMBER = re.compile(r"0\d+")
_HASH = re.compile(r"[0-9a-f]{1,2}")
_CAMERA = re.compile(r"[1-9]\d\d[A-Z0-9_]{5}")
"""100APPLE, 102_PANA: folders of cameras (DCF 2.0, JEITA CP-3461)."""

_WORDS = frozenset(
    {
        *("dcim", "camera", "camera roll", "camera uploads", "screenshots", "recents", "bursts"),
        *("whatsapp images", "whatsapp", "telegram", "instagram", "snapchat", "messenger"),
        *("images", "image", "imgs", "img", "jpegimages", "jpeg", "jpegs", "jpg", "png", "webp"),
        *("photos", "photo", "pictures", "picture", "pics", "fotos", "foto", "bilder", "frames"),
        *("data", "dataset", "datasets", "files", "media", "raw", "original", "originals"),
        *("crops", "cropped", "resized", "thumbnails", "thumbs", "albums", "takeout"),
        *("google photos", "icloud photos", "all photos", "favorites", "favourites", "archive"),
        *("misc", "miscellaneous", "various", "other", "others", "unsorted", "sorted", "unknown"),
        *("unlabeled", "unlabelled", "unassigned"),
        *("edited", "edits", "exported", "exports", "references", "queries", "probe"),
        *("downloads", "download", "uploads", "upload", "input", "output", "backup"),
        *("identities", "subjects", "persons", "people", "objects", "classes", "instances"),
    }
)


@dataclass(frozen=True)
class Level:
    """The folder that is the identity.

    Attributes:
        number: 1 is the first folder below the root, -1 the folder that holds the photo, and
            every name at this level is an identity; None is the first *named* folder.
    """

    number: int | None = None

    @classmethod
    def of_setting(cls, identity: str) -> Level:
        """The level of a setting such as `folder:2`; any other means the first named folder."""
        kind, _, level = identity.partition(":")
        return cls(int(level) if kind == "folder" and level not in ("", "named") else None)

    def __str__(self) -> str:
        return f"folder:{'named' if self.number is None else self.number}"

    def identity(self, folders: Sequence[str]) -> str | None:
        """The folder at this level; None if the path has none."""
        if self.number is None:
            return next(iter(named(folders)), None)
        index = self.number - 1 if self.number > 0 else self.number
        return folders[index] if -len(folders) <= index < len(folders) else None


def named(folders: Sequence[str]) -> Folders:
    """The folders whose names may be identities.

    A number such as `0001` is that of a shard, or, below a named folder, perhaps that of an object.
    """
    kept: list[str] = []
    in_date = False
    for folder in folders:
        name = _plain(folder)
        in_date = is_date(name) or (in_date and is_part(name))
        is_shard = not kept and _NUMBER.fullmatch(name) is not None
        if name and not (in_date or is_shard or _CAMERA.fullmatch(folder) or _orders_photos(name)):
            kept.append(folder)
    return tuple(kept)


def _plain(name: str) -> str:
    """A name in lower case; `-`, `_`, `.` and `,` are spaces."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(re.sub(r"[-_.,\s]+", " ", text).split())


def _orders_photos(name: str) -> bool:
    return name in _WORDS or any(form.fullmatch(name) for form in _OTHERS)


def check(root: str, photos: Collection[Folders]) -> None:
    """Make sure that the first named folder is the only one that can be meant.

    A deeper one can be meant if at least half of the photos have one, or if folders of one name
    are in several named folders, as in `ann/indoor` and `ben/indoor`. None at all can be meant if
    the names look like the first digits of hashes.

    Args:
        root: The source, for the message.
        photos: Of each photo without a label of its own, its folders.

    Raises:
        SourceError: several levels are possible; the message has a line for each.
    """
    paths = Counter(photos)
    names = {folders: named(folders) for folders in paths}
    labelled = sum(count for folders, count in paths.items() if names[folders])
    deep = sum(count for folders, count in paths.items() if len(names[folders]) > 1)
    parents: dict[str, set[Folders]] = defaultdict(set)
    for found in names.values():
        if len(found) > 1:
            parents[found[-1]].add(found[:-1])
    if deep and (2 * deep >= labelled or any(len(above) > 1 for above in parents.values())):
        what = f"folders of several levels below {root} can be the identities"
        raise SourceError(_question(what, paths))
    if _are_hashes({found[0].casefold() for found in names.values() if found}):
        what = f"folders below {root} can be identities or the first digits of hashes"
        raise SourceError(_question(what, paths))


def _are_hashes(names: Collection[str]) -> bool:
    """Whether names are those of folders into which a program spreads its files: 0, 1, ..., f."""
    kinds = Counter("letter" if set(name) & set("abcdef") else "digit" for name in names)
    return (
        len({len(name) for name in names}) == 1
        and all(_HASH.fullmatch(name) for name in names)
        and min(kinds["letter"], kinds["digit"]) >= SPREAD
    )


def warn(root: str, level: Level, photos: Collection[Folders]) -> None:
    """Log how many photos in folders have no identity, or that no name at the level is one."""
    given = {folders: level.identity(folders) for folders in set(photos) if folders}
    without = [folders for folders in photos if folders and not given[folders]]
    if without:
        _log.warning(
            "%s: %s in folders such as %s have no identity: %s; put them in a folder named after "
            "what they show, or choose with --identity folder:LEVEL (1 is the first below the "
            "root)",
            root,
            "all photos" if len(without) == len(photos) else _counted(len(without), "photo"),
            _most_common("/".join(folders) for folders in without),
            "names of splits, dates, cameras and numbers are none"
            if level.number is None
            else f"they have no folder at level {level.number}",
        )
    elsewhere = [named(folders)[0] for folders in given if named(folders)]
    if elsewhere and all(name not in named(folders) for folders, name in given.items()):
        _log.warning(
            "%s: identities are called %s, as in earlier versions; folders such as %s are more "
            "likely ones: choose with --identity folder:LEVEL (1 is the first below the root)",
            root,
            _most_common(name for name in given.values() if name),
            _most_common(elsewhere),
        )


def _most_common(names: Iterable[str]) -> str:
    counts = Counter(names)
    return ", ".join(sorted(counts, key=lambda name: (-counts[name], name))[:EXAMPLES])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def choices(paths: Counter[Folders]) -> dict[Level, Counter[str]]:
    """Levels that give different identities, each with its identities and their photos.

    A level is left out if most photos have no folder there, or if no name there is an identity.
    """
    names = {folders: named(folders) for folders in paths}
    labelled = sum(count for folders, count in paths.items() if names[folders])
    deepest = max(map(len, paths))
    seen: list[dict[Folders, str | None]] = []
    found: dict[Level, Counter[str]] = {}
    for number in (*range(1, deepest + 1), None, -1):
        level = Level(number)
        given = {folders: level.identity(folders) for folders in paths}
        identities: Counter[str] = Counter()
        for folders, name in given.items():
            if name is not None:
                identities[name] += paths[folders]
        useful = any(name is not None and name in names[folders] for folders, name in given.items())
        if useful and 2 * identities.total() >= labelled and given not in seen:
            seen.append(given)
            found[level] = identities
    return found


def _question(what: str, paths: Counter[Folders]) -> str:
    total = paths.total()
    lines = []
    for level, identities in choices(paths).items():
        largest = sorted(identities.items(), key=lambda item: (-item[1], item[0]))[:EXAMPLES]
        shown = ", ".join(f"{name} ({n})" for name, n in largest)
        more = ", ..." if len(identities) > EXAMPLES else ""
        without = total - identities.total()
        rest = f"; {_counted(without, 'photo')} without" if without else ""
        count = f"{len(identities)} identit{'y' if len(identities) == 1 else 'ies'}"
        lines.append((f"--identity {level}", f"{count}: {shown}{more}{rest}"))
    lines.append(("--identity none", "no labels: identities are mined"))
    width = max(len(option) for option, _ in lines)
    listing = "\n".join(f"  {option:<{width}}  # {meaning}" for option, meaning in lines)
    return (
        f"{what}, so add one of these (or set source.identity; of one among several sources, "
        f"sources.NAME.identity; the numbers count photos):\n{listing}"
    )

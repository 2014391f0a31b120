"""Photos of a WebDataset: tars whose files belong together by name, `000001.jpg`, `000001.json`.

`source.path` is one tar, a folder of them, or a pattern such as `shard-{000000..000012}.tar`. A
photo is addressed in its tar, which is never unpacked. A sample has one photo: its file without a
further dot in its ending, in the order of `SUFFIXES`, or the one that `source.image_column` names.

The caption is the sample's `.txt`, or `caption` of its `.json` (as img2dataset writes both). Other
columns are named by their ending, `cls`, or a field of the JSON, `json.person`.

An identity is what `source.identity_column` says of a sample; without it there is none. With
`identity: annotation`, the objects of `source.objects_column` have their own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from repic.errors import SourceError
from repic.images import uris
from repic.sources import columns, hub, shards, tar_shards
from repic.sources.base import RefusedPhoto, SourceFacts, SourcePhoto, say_skipped
from repic.sources.shards import SourceFile

if TYPE_CHECKING:
    from repic import config

SUFFIXES = ("jpg", "jpeg", "webp", "png", "avif", "heic", "jxl", "bmp", "gif", "tif", "tiff")
"""Endings of photos; the first one in a sample is its photo."""
TARS = (".tar",)
MAX_SHARDS = 1_000_000

_ANY_PHOTO = "image"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_CAPTIONS = ("txt", "caption", "text", "json.caption")

FACTS = SourceFacts(
    path="tars: one, a folder of them, or a pattern `shard-{000000..000012}.tar`",
    identity="`source.identity_column` (`folder`)",
    boxes="`source.objects_column`",
    captions="`.txt`, or `caption` of the JSON",
    splits="`source.split` chooses shards by name",
    lacks="expressions",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos of the tars of `settings.split`.

    Raises:
        SourceError: there is no tar, or no sample has a column of the settings.
    """
    return of_shards(settings, _shards(settings))


def of_shards(
    settings: config.SourceSettings, found: Iterable[SourceFile]
) -> Iterator[SourcePhoto]:
    """All photos of some tars. A tar that breaks off gives the photos before that place.

    Raises:
        SourceError: no sample has a column of the settings.
    """
    counts: Counter[str] = Counter()
    endings: set[str] = set()
    seen: set[str] | None = None
    for shard in found:
        samples: dict[str, _Sample] = {}
        broken = _collect(shard, samples, counts)
        for sample in samples.values():
            endings |= sample.files.keys()
            if place := _photo_of(sample, settings.image_column, counts):
                texts = sample.texts(counts)
                seen = (seen or set()) | {
                    c for c in _chosen(settings) if _value(texts, c) is not None
                }
                yield _photo(settings, shard, place, texts, counts)
        if broken:
            yield RefusedPhoto(shard.uri, settings.kind, why=str(broken), reason="corrupt")
    if endings:
        _check_columns(settings, endings, seen)
    say_skipped(settings.path, counts)


@dataclass
class _Sample:
    """Files of one name, by their endings."""

    files: dict[str, tar_shards.TarFile] = field(default_factory=dict)

    def texts(self, counts: Counter[str]) -> dict[str, Any]:
        """Content of the text files by ending; that of JSON is parsed."""
        found: dict[str, Any] = {}
        for ending, file in self.files.items():
            if file.content is None:
                continue
            text = file.content.decode("utf-8", "replace").strip()
            if ending == "json":
                try:
                    found[ending] = json.loads(text)
                except (ValueError, RecursionError):
                    counts["JSON files that cannot be read"] += 1
            elif len(text) <= columns.MAX_TEXT:
                found[ending] = text
        return found


def _value(texts: dict[str, Any], column: str | None) -> Any:
    """Text of a file, or a field of a JSON file; None if there is none."""
    if not column or column in texts:
        return texts.get(column or "")
    ending, *path = column.split(".")
    value = texts.get(ending)
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _collect(
    shard: SourceFile, samples: dict[str, _Sample], counts: Counter[str]
) -> tar_shards.BrokenTarError | None:
    """Group the files of a tar by name; returns what is wrong with the tar."""
    try:
        for file in tar_shards.files(shard, counts):
            folder, _, name = file.place.name.rpartition("/")
            stem, _, ending = name.partition(".")
            if not stem or not ending:
                continue
            sample = samples.setdefault(f"{folder}/{stem}", _Sample())
            if ending.lower() in sample.files:
                counts["files whose name is twice in a tar"] += 1
            else:
                sample.files[ending.lower()] = file
    except tar_shards.BrokenTarError as error:
        return error
    return None


def _photo_of(sample: _Sample, column: str, counts: Counter[str]) -> uris.Member | None:
    """Place of the photo of a sample; None if it has none."""
    wanted = SUFFIXES if column == _ANY_PHOTO else (column.lower(),)
    found = [sample.files[ending] for ending in wanted if ending in sample.files]
    if not found:
        counts["samples without a photo"] += 1
        return None
    counts["further photos of a sample (see source.image_column)"] += len(found) - 1
    return found[0].place


def _photo(
    settings: config.SourceSettings,
    shard: SourceFile,
    place: uris.Member,
    texts: dict[str, Any],
    counts: Counter[str],
) -> SourcePhoto:
    named = settings.identity_column if settings.identity != "none" else None
    captions = (settings.caption_column,) if settings.caption_column else _CAPTIONS
    found = (columns.text(columns.first(_value(texts, column))) for column in captions)
    label = columns.named(_value(texts, settings.label_column))
    objects = columns.objects(_value(texts, settings.objects_column), settings, None, counts)
    return SourcePhoto(
        uri=str(uris.Location(shard.uri, member=place)),
        source=settings.kind,
        licence=settings.licence,
        identity=columns.named(_value(texts, named)),
        caption=next(filter(None, found), None),
        label=columns.noun(label, counts),
        annotations=tuple(objects),
    )


def _chosen(settings: config.SourceSettings) -> dict[str, str]:
    """Files or fields of the JSON that the settings name, with the setting of each."""
    names = ("identity", "label", "caption", "objects")
    chosen = {getattr(settings, f"{name}_column"): f"source.{name}_column" for name in names}
    return {column: setting for column, setting in chosen.items() if column}


def _check_columns(
    settings: config.SourceSettings, endings: set[str], seen: set[str] | None
) -> None:
    """Raises: SourceError: no sample has a file or a field that the settings name.

    Args:
        seen: What samples with a photo have of `_chosen`; None if no sample has a photo.
    """
    chosen = _chosen(settings) if seen is not None else {}
    missing = {c: setting for c, setting in chosen.items() if c not in (seen or ())}
    if settings.image_column != _ANY_PHOTO and settings.image_column.lower() not in endings:
        missing = {settings.image_column: "source.image_column"}
    for column, setting in missing.items():
        raise SourceError(
            f"no sample of {settings.path} has {column}; they have "
            f"{', '.join(sorted(endings)[:20])} ({setting})"
        )


def _shards(settings: config.SourceSettings) -> list[SourceFile]:
    path = hub.located(settings.path or "", settings.revision)
    if _BRACES.search(path):
        return _of_pattern(path)
    if path.lower().endswith(_COMPRESSED):
        raise SourceError(f"{path} is compressed; decompress it, and give its .tar (source.path)")
    found = shards.find(path, settings.split, TARS)
    if not found:
        compressed = bool(shards.find(path, settings.split, _COMPRESSED))
        remedy = "decompress them" if compressed else "give a tar or a folder of them (source.path)"
        raise SourceError(f"there is no .tar in {path}; {remedy}")
    return found


def _of_pattern(pattern: str) -> list[SourceFile]:
    found = [shards.shard(path) for path in sorted(set(_expanded(pattern)))]
    missing = [shard.path for shard in found if not shard.files.exists(shard.path)]
    if missing:
        raise SourceError(
            f"{len(missing)} of {len(found)} tars of {pattern} do not exist, as {missing[0]}; "
            "correct the pattern (source.path)"
        )
    return found


def _expanded(pattern: str) -> Iterator[str]:
    """Names of a pattern: `{000..012}` are numbers of that width, `{a,b}` are choices.

    Raises:
        SourceError: the pattern stands for too many names.
    """
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    first, last, choices = match.groups()
    values: Iterable[str]
    if choices is not None:
        values = choices.split(",")
    elif int(last) - int(first) >= MAX_SHARDS:
        raise SourceError(f"{pattern} stands for more than {MAX_SHARDS:,} tars (source.path)")
    else:
        values = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    for value in values:
        yield from _expanded(pattern[: match.start()] + value + pattern[match.end() :])

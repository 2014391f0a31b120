"""Photos of RePIC's released training records.

- `path`: a JSON list or `.jsonl` of records, a `.yaml` that names such files (`datasets:` of
  `json_path:`), or a folder of them. A record has `image` (one, or several of which the last is
  the query), `problem`, `solution` and `accu_reward_method` (`iou` if it is absent).
- `images`: the folder of the photos; by default that of the file.

What records tell of photos: the box of an `iou` record, in pixels of the file as it says, with the
expression if the question quotes it or ends with it after a colon; and that two pictures show one
thing (`yes_no` with yes, `yes_no_name`). A query may hold several things, so that two pictures are
an identity only if neither is in another such pair or in a record of several references, and no
record denies it. Names are drawn for each record and name nobody; there are no captions.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import coco_fields, contained, local_files, photo_folder, plain_yaml
from repic.sources.base import Annotation, SourceFacts, SourcePhoto, say_skipped

if TYPE_CHECKING:
    from repic import config

MAX_BYTES = 512 << 20
"""Largest file of records; the released 5,000 have a few MB."""

_QUOTED = re.compile(r"[\"“”]([^\"“”]{2,300})[\"“”]")
_AFTER_COLON = re.compile(r":\s*([^:?]{2,300})$")

FACTS = SourceFacts(
    path="RePIC's training records: JSON, `.jsonl`, the `.yaml` that names them, or their folder",
    identity="two pictures that a record calls one thing, if no other record is about them",
    boxes="those of `iou` records; expressions that the question quotes",
    lacks="names of anything, captions, labels, splits, licences (of COCO, Objects365, CelebA ...)",
)


@dataclass
class _Told:
    """What all records tell.

    Attributes:
        boxes: Picture -> boxes with their expressions.
        pairs: Pictures that show one thing.
        denied: Pictures of which a record says that they do not.
        several: Pictures that are in a record of several references.
    """

    boxes: dict[str, dict[Box, list[str]]] = field(default_factory=dict)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    denied: set[tuple[str, str]] = field(default_factory=set)
    several: set[str] = field(default_factory=set)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All pictures of all records, each once.

    Raises:
        SourceError: there are no records, or a file has another form.
    """
    path = local_files.local_path(settings, "RePIC's set of records")
    files = list(_files(path))
    skipped: Counter[str] = Counter()
    told = _Told()
    for file in files:
        for record in _records(file):
            _add(record, told, skipped)
    if not told.boxes:
        raise SourceError(
            f"{path} has no record of RePIC: it needs image, problem, solution and "
            "accu_reward_method"
        )
    images = uris.to_uri(settings.images) if settings.images else None
    folder, drop = photo_folder.find(uris.file_uri(files[0]), images, list(told.boxes))
    identities = _identities(told, skipped) if settings.identity != "none" else {}
    for name, boxes in told.boxes.items():
        uri = photo_folder.uri_of(folder, name, drop)
        if uri is None:
            skipped["pictures without a usable name"] += 1
            continue
        annotations = (Annotation(box, "", None, tuple(said)) for box, said in boxes.items())
        photo = SourcePhoto(
            uri=uri,
            source=settings.kind,
            licence=settings.licence,
            identity=identities.get(name),
            annotations=tuple(annotations),
        )
        yield contained.checked(photo, folder)
    say_skipped(settings.path, skipped)


def _files(path: Path) -> Iterator[Path]:
    """Files of records that a path names."""
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in (".json", ".jsonl"))
        if not found:
            raise SourceError(f"there is no .json or .jsonl file in {path} (source.path)")
        yield from found
    elif path.suffix.lower() in (".yaml", ".yml"):
        text = local_files.text(path, MAX_BYTES)
        try:
            listed = plain_yaml.loads(text)["datasets"]
            names = [entry["json_path"] for entry in listed]
        except (yaml.YAMLError, KeyError, TypeError, RecursionError, ValueError) as error:
            raise SourceError(f"{path} is no list `datasets:` of `json_path:`") from error
        for name in map(str, names):
            places = (path.parent / name, path.parent / Path(name).name)
            inside = (p for p in places if local_files.is_below(p, path.parent))
            found_file = next(filter(os.path.isfile, inside), None)
            if found_file is None:
                raise SourceError(f"{path} names {name}, which is not in its folder; put it there")
            yield found_file
    else:
        yield path


def _records(path: Path) -> Iterator[Any]:
    """Entries of a file; None in the place of a line that is not JSON."""
    if path.suffix.lower() == ".jsonl":
        for line in local_files.lines(path):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield None
        return
    text = local_files.text(path, MAX_BYTES)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not a JSON file: {error}") from error
    if not isinstance(value, list):
        raise SourceError(f"{path} is no JSON list of records")
    yield from value


def _add(record: Any, told: _Told, skipped: Counter[str]) -> None:
    """Take up one record."""
    fields = record if isinstance(record, dict) else {}
    image = fields.get("image")
    listed = [image] if isinstance(image, str) else image
    names = [coco_fields.text(n) for n in listed] if isinstance(listed, list) else []
    if not names or not all(names) or "solution" not in fields:
        skipped["records of another form"] += 1
        return
    for name in names:
        told.boxes.setdefault(name, {})
    match fields.get("accu_reward_method", "iou"):
        case "iou" if len(names) == 1:
            _add_box(fields, told.boxes[names[0]], skipped)
        case "yes_no" | "yes_no_name" as method if len(names) == 2 and names[0] != names[1]:
            pair = (min(names), max(names))
            answer = coco_fields.sentence(fields["solution"]).casefold().rstrip(".")
            if method == "yes_no_name" or answer == "yes":
                told.pairs.add(pair)
            elif answer == "no":
                told.denied.add(pair)
            else:
                skipped["records whose answer is not yes or no"] += 1
        case "yes_no_name_multi":
            told.several.update(names)
        case _:
            skipped["records that tell only which pictures there are"] += 1


def _add_box(fields: dict[str, Any], boxes: dict[Box, list[str]], skipped: Counter[str]) -> None:
    try:
        x1, y1, x2, y2 = (float(value) for value in fields["solution"])
    except (TypeError, ValueError, OverflowError):
        x1 = y1 = x2 = y2 = 0.0
    box = coco_fields.box((x1, y1, x2 - x1, y2 - y1), None, None)
    if box is None:
        skipped["records whose answer is no box"] += 1
        return
    question = coco_fields.sentence(fields.get("problem"))
    quoted = _QUOTED.findall(question) or _AFTER_COLON.findall(question)
    said = boxes.setdefault(box, [])
    if len(quoted) != 1:
        skipped["expressions that cannot be told from their question; the box is used"] += 1
    elif (expression := quoted[0].strip(" .")) not in said:
        said.append(expression)


def _identities(told: _Told, skipped: Counter[str]) -> dict[str, str]:
    """Identity of pictures that are in one pair only, named by the first of the two."""
    partners: dict[str, set[str]] = defaultdict(set)
    for one, other in told.pairs:
        partners[one].add(other)
        partners[other].add(one)
    identities: dict[str, str] = {}
    for one, other in sorted(told.pairs):
        alone = len(partners[one]) == len(partners[other]) == 1
        if alone and not {one, other} & told.several and (one, other) not in told.denied:
            identities |= {one: one, other: one}
        else:
            skipped["pairs of pictures that may show several things"] += 1
    return identities

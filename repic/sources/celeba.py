"""Lists of identities, boxes and splits in the form of CelebA.

- `path`: the folder of the lists, or the one with `Anno` and `Eval` as CelebA is distributed:
  `identity_CelebA.txt` (`000001.jpg 2880`), `list_bbox_celeba.txt` (a count, the header
  `image_id x_1 y_1 width height`, rows) and `list_eval_partition.txt` (`000001.jpg 0`; 0 is train,
  1 validation, 2 test). Each is optional, but one of the first two is needed.
- `images`: the folder of photos; by default `img_celeba`, else `img_align_celeba`.

The boxes are of the photos in the wild. Aligned photos are crops of another size (178 x 218), for
which they would be wrong, so they get none. An identity is a person, whose name is a number; a
photo with one box has it at the box as well.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from repic.errors import SourceError
from repic.images import decode, uris
from repic.images.coordinates import Box
from repic.images.fetch import ImageRefused, read_bytes
from repic.sources import coco_fields, contained, local_files
from repic.sources.base import Annotation, SourceFacts, SourcePhoto, say_skipped, strictest

if TYPE_CHECKING:
    from repic import config

ALIGNED = (178, 218)
"""Width and height of the aligned photos."""

_PLACES = (
    *("img_celeba", "Img/img_celeba", "img_celeba/img_celeba", "img_align_celeba"),
    *("Img/img_align_celeba", "img_align_celeba/img_align_celeba", "images"),
)
_LISTS = {
    "identity": re.compile(r"identity_.*\.(txt|csv)", re.IGNORECASE),
    "bbox": re.compile(r"list_bbox_.*\.(txt|csv)", re.IGNORECASE),
    "partition": re.compile(r"list_eval_partition.*\.(txt|csv)", re.IGNORECASE),
}
_HEADER = ["image_id", "x_1", "y_1", "width", "height"]
_PARTS = {"0": "train", "1": "validation", "2": "test"}

FACTS = SourceFacts(
    path="the folder of `identity_CelebA.txt`, `list_bbox_celeba.txt`, `list_eval_partition.txt`",
    identity="a person, by number",
    boxes="one face in a photo; none for aligned photos",
    splits="its own",
    lacks="captions, other objects, a licence (CelebA is for non-commercial research)",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos that the lists of identities and boxes name, in their order.

    Raises:
        SourceError: there is no list, or one has another form.
    """
    root = local_files.root(settings, "CelebA")
    lists = _find(root)
    skipped: Counter[str] = Counter()
    identities = _identities(lists.get("identity"), skipped)
    boxes = _boxes(lists.get("bbox"), skipped)
    splits = _splits(lists.get("partition"), skipped)
    folder = local_files.images_folder(
        settings, (root / place for place in _PLACES), "photos of CelebA are"
    )
    names = dict.fromkeys((*identities, *boxes))
    if boxes and _are_aligned(folder, names):
        skipped["boxes, which are of the photos in the wild; these are aligned"] += len(boxes)
        boxes = {}
    root_uri = uris.file_uri(folder)
    for name in names:
        try:
            uri = contained.uri_of(root_uri, name)
        except ValueError:
            skipped["photos without a usable name"] += 1
            continue
        identity = identities.get(name) or None if settings.identity != "none" else None
        own = boxes.get(name, [])
        photo = SourcePhoto(
            uri=uri,
            source=settings.kind,
            licence=settings.licence,
            identity=identity,
            annotations=tuple(
                Annotation(box, "face", identity if len(own) == 1 else None) for box in own
            ),
            split=splits.get(name),
        )
        yield contained.checked(photo, root_uri)
    say_skipped(settings.path, skipped)


def _find(root: Path) -> dict[str, Path]:
    """The first list of each kind in the folder or in those of CelebA."""
    found: dict[str, Path] = {}
    for folder in (root, *(root / name for name in ("Anno", "anno", "Eval", "eval"))):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            for kind, pattern in _LISTS.items():
                if pattern.fullmatch(path.name) and path.is_file():
                    found.setdefault(kind, path)
    if not found.keys() & {"identity", "bbox"}:
        raise SourceError(
            f"{root} has neither identity_CelebA.txt nor list_bbox_celeba.txt; give the folder of "
            "the lists (source.path)"
        )
    return found


def _fields(path: Path) -> Iterator[list[str]]:
    for line in local_files.lines(path):
        if fields := line.replace(",", " ").split() if _is_csv(path) else line.split():
            yield fields


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _pairs(path: Path | None, skipped: Counter[str]) -> Iterator[tuple[str, str]]:
    """Names of photos and one word each."""
    for fields in _fields(path) if path else ():
        if len(fields) == 2:
            yield fields[0], fields[1]
        else:
            skipped[f"lines of {path.name if path else ''} that are not a name and a value"] += 1


def _identities(path: Path | None, skipped: Counter[str]) -> dict[str, str]:
    found: dict[str, set[str]] = defaultdict(set)
    for name, identity in _pairs(path, skipped):
        if (name, identity) != ("image_id", "identity"):
            found[name].add(identity)
    if path and not found:
        raise SourceError(f"{path} has no line such as `000001.jpg 2880`; get it again")
    skipped["photos with several identities, which have none then"] += sum(
        len(names) > 1 for names in found.values()
    )
    return {name: names.pop() if len(names) == 1 else "" for name, names in found.items()}


def _boxes(path: Path | None, skipped: Counter[str]) -> dict[str, list[Box]]:
    """Boxes of each photo, xyxy in pixels."""
    if path is None:
        return {}
    rows = _fields(path)
    count = None
    head = next(rows, [])
    if len(head) == 1 and head[0].isdecimal():
        count, head = int(head[0]), next(rows, [])
    if head != _HEADER:
        raise SourceError(f"{path} does not begin with a count and {' '.join(_HEADER)}")
    found: dict[str, list[Box]] = {}
    seen = 0
    for fields in rows:
        seen += 1
        box = coco_fields.box(fields[1:], None, None) if len(fields) == len(_HEADER) else None
        found.setdefault(fields[0], [])
        if box is None:
            skipped[f"lines of {path.name} without a box"] += 1
        else:
            found[fields[0]].append(box)
    if count is not None and count != seen:
        raise SourceError(
            f"{path} announces {count} lines and has {seen}: it is cut off; get it again"
        )
    return found


def _splits(path: Path | None, skipped: Counter[str]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for name, part in _pairs(path, skipped):
        if split := strictest((_PARTS.get(part), splits.get(name))):
            splits[name] = split
        if part not in _PARTS and (name, part) != ("image_id", "partition"):
            skipped[f"lines of {path.name if path else ''} with another part than 0, 1 or 2"] += 1
    return splits


def _are_aligned(folder: Path, names: dict[str, None]) -> bool:
    """Whether the first photos have the size of aligned ones."""
    sizes = set()
    paths = (folder / name for name in names if "/" not in name)
    for path in islice(filter(os.path.isfile, paths), 3):
        try:
            header = decode.read_header(read_bytes(uris.file_uri(path)))
        except ImageRefused:
            continue
        sizes.add((header.width, header.height))
    return sizes == {ALIGNED}

"""Content of a COCO file: its photos, objects, captions and licences.

The file is read entry by entry, and of each object only its ids, box and identity are kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import coco_fields, coco_masks, json_stream
from repic.sources.base import Annotation

Objects = defaultdict[str, dict[str, Annotation]]
"""Annotations by id of their photo, then by their own."""


class Image(NamedTuple):
    """A photo: its id, name and licence, and width and height in pixels, where they are given."""

    key: str
    name: str | None
    size: tuple[int, int] | None
    licence: str | None


class _Object(NamedTuple):
    """An object; `bbox` as the file gives it, else `outline` is the box of its segmentation."""

    key: str | None
    image: str | None
    category: str | None
    flaw: str | None
    bbox: Any
    outline: Box | None
    identity: str | None
    truncated: bool | None
    occluded: bool | None


@dataclass
class CocoFile:
    """What is needed of a file.

    Attributes:
        images: Photos, in the order of the file.
        captions: The first caption of each photo, by its id.
        licences: Names by id.
        categories: Names by id; empty for a category without a name.
    """

    images: list[Image] = field(default_factory=list)
    captions: dict[str, str] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)
    _objects: deque[_Object] = field(default_factory=deque)

    def objects(self, skipped: Counter[str]) -> Objects:
        """Objects with their boxes, once: what was read is given up on the way.

        Raises:
            SourceError: there are objects, but none can be used.
        """
        sizes = {image.key: image.size for image in self.images}
        count = len(self._objects)
        normalized = _are_shares(entry.bbox for entry in self._objects)
        found: Objects = defaultdict(dict)
        for number in range(count):
            entry = self._objects.popleft()
            box = _box(entry, sizes.get(entry.image or ""), normalized)
            if entry.flaw:
                skipped[entry.flaw] += 1
            elif entry.image not in sizes:
                skipped["annotations of unknown images"] += 1
            elif entry.category not in self.categories:
                skipped["annotations of unknown categories"] += 1
            elif box is None:
                skipped["annotations whose box is malformed or outside of its photo"] += 1
            else:
                label = self.categories[entry.category]
                if not label:
                    skipped["labels, of categories without a name; their boxes are used"] += 1
                of_photo = found[entry.image]
                key = entry.key if entry.key and entry.key not in of_photo else f"#{number}"
                of_photo[key] = Annotation(
                    box, label, entry.identity, (), entry.truncated, entry.occluded
                )
        if count and not any(found.values()):
            raise SourceError(
                f"none of {count} annotations can be used: "
                + ", ".join(f"{count} {reason}" for reason, count in skipped.items() if count)
            )
        return found


def read(uri: str, skipped: Counter[str], with_identity: bool = False) -> CocoFile:
    """The content of a file.

    Args:
        uri: A local file, or one of a server.
        skipped: Broken records are counted in it, by reason.
        with_identity: Whether identities of objects are read.

    Raises:
        SourceError: the file is missing, not JSON, or no COCO file.
    """
    path = uris.fsspec_path(uri)
    content = CocoFile()
    missing = {"annotations", "categories", "licenses", "images"}
    try:
        with json_stream.opened(path, "source.path") as file:
            for name, value in json_stream.members(file):
                if name not in missing or (value is None and name != "images"):
                    continue
                if not isinstance(value, Iterator):
                    raise json_stream.NotAnObjectError(f"its {name} are no list")
                missing -= {name}
                _add(content, name, value, skipped, with_identity)
    except json_stream.NotAnObjectError:
        missing = {"images"}
    if "images" in missing:
        raise SourceError(f"{path} is not a COCO file: it needs images, annotations and categories")
    return content


def _add(
    content: CocoFile,
    name: str,
    entries: Iterable[Any],
    skipped: Counter[str],
    with_identity: bool,
) -> None:
    match name:
        case "images":
            content.images += _images(entries, skipped)
        case "categories":
            content.categories |= _names(entries, name, skipped, keep_nameless=True)
        case "licenses":
            content.licences |= _names(entries, name, skipped)
        case "annotations":
            for entry in entries:
                if not isinstance(entry, dict):
                    skipped["annotations that are not JSON objects"] += 1
                    continue
                image = coco_fields.key(entry.get("image_id"))
                if image and (caption := coco_fields.sentence(entry.get("caption"))):
                    content.captions.setdefault(image, caption)
                if "bbox" in entry or "caption" not in entry:
                    content._objects.append(_object(entry, image, with_identity))


def _images(entries: Iterable[Any], skipped: Counter[str]) -> Iterator[Image]:
    for entry in entries:
        key = coco_fields.key(entry.get("id")) if isinstance(entry, dict) else None
        name = entry.get("file_name") if key else None
        if not isinstance(name, str) or not name:
            skipped["images without a usable file_name or id"] += 1
            name = None
        if key is not None:
            licence = coco_fields.key(entry.get("license"))
            yield Image(key, name, coco_fields.size(entry), licence)


def _names(
    entries: Iterable[Any], kind: str, skipped: Counter[str], keep_nameless: bool = False
) -> Iterator[tuple[str, str]]:
    """Ids and names of `categories` or `licenses`."""
    for entry in entries:
        fields = entry if isinstance(entry, dict) else {}
        key, name = coco_fields.key(fields.get("id")), coco_fields.text(fields.get("name"))
        if key is None or not name:
            skipped[f"{kind} without a usable id or name"] += 1
        if key is not None and (name or keep_nameless):
            yield key, name


def _object(entry: dict[str, Any], image: str | None, with_identity: bool) -> _Object:
    attributes = entry.get("attributes")  # CVAT's
    if not isinstance(attributes, dict):
        attributes = {}
    bbox = entry.get("bbox")
    is_drawn = bbox is not None and bbox != []
    identity = entry.get("identity", attributes.get("identity")) if with_identity else None
    if entry.get("iscrowd"):
        flaw = "crowds"
    elif entry.get("isfake"):
        flaw = "depictions, as on a poster or screen (isfake)"
    else:
        flaw = None
    return _Object(
        coco_fields.key(entry.get("id")),
        image,
        coco_fields.key(entry.get("category_id")),
        flaw,
        bbox,
        None if is_drawn else coco_masks.bounds(entry.get("segmentation")),
        None if identity is None else coco_fields.text(str(identity)) or None,
        coco_fields.flag(attributes.get("truncated")),
        coco_fields.flag(attributes.get("occluded")),
    )


def _are_shares(boxes: Iterable[Any]) -> bool:
    """Whether boxes are shares of the photo: there are some, and no number exceeds 1."""
    between = False
    for box in boxes:
        for value in box if isinstance(box, list) else ():
            if isinstance(value, int | float):
                if value > 1:
                    return False
                between = between or 0 < value < 1
    return between


def _box(entry: _Object, size: tuple[int, int] | None, normalized: bool) -> Box | None:
    """Box of an object: its own, or that of its segmentation."""
    width, height = size or (None, None)
    bbox = entry.bbox
    if entry.outline is not None:
        outline = entry.outline
        return coco_fields.box(
            [outline.x1, outline.y1, outline.width, outline.height], width, height
        )
    if normalized and size and isinstance(bbox, list) and len(bbox) == 4:
        try:
            bbox = [float(value) * side for value, side in zip(bbox, size * 2, strict=True)]
        except (TypeError, ValueError, OverflowError):
            return None
    return coco_fields.box(bbox, width, height)

"""Photos and boxes of a COCO instances file, with its captions and referring expressions.

- `path`: the instances JSON (`images`, `annotations`, `categories`, optionally `licenses`).
- `images`: the folder that `file_name` is relative to; by default the folder of the JSON. A name
  that leads out of it is refused (`repic.sources.contained`).
- Captions: annotations with a `caption` in the same file, otherwise the file `captions_X.json`
  next to `instances_X.json`, as COCO distributes it. The first caption of a photo is used.
- `refs`: referring expressions of RefCOCO, RefCOCO+ or RefCOCOg as JSON; see `_add_expressions`.

Boxes become xyxy pixels, clipped to the size that the file gives for the photo; the photo itself
may have another scale, or be stored turned (see `SourcePhoto.drawn_on`). An object without a box
gets that of its segmentation, and boxes of which none exceeds 1 are shares of the photo. Ids are
compared as text, so that 7 and "7" are one. Crowds (`iscrowd`) are regions, not objects, and are
skipped, as are broken records; the log counts both. Photos whose file is missing are
yielded as well: the stage that opens them reports it.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import coco_masks, contained
from repic.sources.base import Annotation, SourcePhoto

if TYPE_CHECKING:
    from repic import config

_log = logging.getLogger(__name__)

SAME_BOX = 0.9
"""Minimum IoU of the box of a referring expression and an annotation that it matches."""

_PICKLES = (".p", ".pkl", ".pickle")


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos of the file, in its order.

    With `identity: annotation`, the field `identity` of annotations is read; COCO itself has none.

    Raises:
        SourceError: a file is missing or has another form.
    """
    path = uris.to_uri(settings.path or "")
    data = _read_json(path)
    if not _is_coco(data):
        raise SourceError(
            f"{settings.path} is not a COCO file: it needs images, annotations and categories"
        )
    folder = uris.to_uri(settings.images) if settings.images else path.rpartition("/")[0]
    if folder.startswith("file://"):
        _check_folder(folder)
    skipped: Counter[str] = Counter()
    annotations = _annotations(data, settings.identity == "annotation", skipped)
    if settings.refs:
        _add_expressions(
            annotations, _read_json(uris.to_uri(settings.refs)), settings.refs, skipped
        )
    captions = _captions(data) or _captions(_captions_file(path))
    licences = _names(data, "licenses", skipped)
    for image in data["images"]:
        uri = _uri(folder, image)
        if uri is None:
            skipped["images without a usable file_name or id"] += 1
            continue
        photo = SourcePhoto(
            uri=uri,
            source=settings.kind,
            licence=settings.licence or licences.get(_key(image.get("license"))),
            caption=captions.get(_key(image["id"])),
            annotations=tuple(annotations[_key(image["id"])].values()),
            drawn_on=_size(image),
        )
        yield contained.checked(photo, folder)
    for reason, count in sorted((+skipped).items()):
        _log.warning("%s: skipped %d %s", settings.path, count, reason)


def _is_coco(data: Any) -> bool:
    """Whether the required lists exist; their entries may still be broken."""
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        return False
    others = ("annotations", "categories", "licenses")
    return all(isinstance(data.get(name) or [], list) for name in others)


def _key(value: Any) -> str | None:
    """An id as text, so that 7, 7.0 and "7" are one; None for values that are no id."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return str(value).strip() or None


def _size(image: Any) -> tuple[int, int] | None:
    """Width and height of a photo in pixels, if its entry gives both."""
    try:
        width, height = int(image["width"]), int(image["height"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _text(value: Any) -> str:
    """A text that a table can store; empty for other values."""
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can contain
        return ""
    return value


def _sentence(value: Any) -> str:
    """A text in one line; empty for other values."""
    return " ".join(_text(value).split())


def _uri(folder: str, image: Any) -> str | None:
    """URI of the photo of an entry of `images`; None if the entry is broken."""
    if not isinstance(image, dict) or _key(image.get("id")) is None:
        return None
    name = image.get("file_name")
    if not isinstance(name, str) or not name:
        return None
    if "\\" in name and "/" not in name:  # written on Windows
        name = name.replace("\\", "/")
    try:
        return contained.uri_of(folder, name)
    except ValueError:
        return None


def _names(data: dict[str, Any], kind: str, skipped: Counter[str]) -> dict[Any, str]:
    """Names by id, of `categories` or `licenses`."""
    names = {}
    for entry in data.get(kind) or []:
        fields = entry if isinstance(entry, dict) else {}
        key, name = _key(fields.get("id")), _text(fields.get("name"))
        if key is None or not name:
            skipped[f"{kind} without a usable id or name"] += 1
        else:
            names[key] = name
    return names


def _read_json(uri: str) -> Any:
    import fsspec

    path = uris.file_path(uri) if uri.startswith("file://") else uris.remote_path(uri)
    if path.lower().endswith(_PICKLES):
        raise SourceError(
            f"{path} is a pickle, which can run any program when it is opened; if you trust it, "
            'convert it once: python -c "import json, pickle, sys; json.dump(pickle.load('
            "open(sys.argv[1], 'rb')), open(sys.argv[2], 'w'))\" refs.p refs.json"
        )
    try:
        with fsspec.open(path, "rb") as file:
            return json.load(file)
    except FileNotFoundError:
        raise SourceError(f"there is no file {path}") from None
    except RecursionError:
        raise SourceError(f"{path} is nested too deeply to be an annotation file") from None
    except (ValueError, IsADirectoryError, PermissionError) as error:
        raise SourceError(f"{path} is not a JSON file: {error}") from error


def _check_folder(folder: str) -> None:
    if not os.path.isdir(uris.file_path(folder)):
        raise SourceError(
            f"there is no folder {uris.file_path(folder)}; set source.images to the photos' folder"
        )


def _annotations(
    data: dict[str, Any], with_identity: bool, skipped: Counter[str]
) -> defaultdict[Any, dict[Any, Annotation]]:
    """Annotations by image id, then by annotation id."""
    sizes = {
        key: _size(image)
        for image in data["images"]
        if isinstance(image, dict) and (key := _key(image.get("id"))) is not None
    }
    labels = _names(data, "categories", skipped)
    categories = {
        _key(entry.get("id")) for entry in data.get("categories") or [] if isinstance(entry, dict)
    } - {None}
    entries = [entry for entry in data.get("annotations") or [] if isinstance(entry, dict)]
    objects = [entry for entry in entries if "bbox" in entry or "caption" not in entry]
    skipped["annotations that are not JSON objects"] = len(data.get("annotations") or []) - len(
        entries
    )
    normalized = _are_shares(objects)
    annotations: defaultdict[Any, dict[Any, Annotation]] = defaultdict(dict)
    for number, entry in enumerate(objects):
        image = _key(entry.get("image_id"))
        if entry.get("iscrowd"):
            skipped["crowds"] += 1
        elif image not in sizes:
            skipped["annotations of unknown images"] += 1
        elif (category := _key(entry.get("category_id"))) not in categories:
            skipped["annotations of unknown categories"] += 1
        elif (box := _object_box(entry, sizes[image], normalized)) is None:
            skipped["annotations whose box is malformed or outside of its photo"] += 1
        else:
            label = labels.get(category, "")
            if not label:
                skipped["labels, of categories without a name; their boxes are used"] += 1
            key = _key(entry.get("id"))
            if key is None or key in annotations[image]:
                key = f"#{number}"
            identity = _identity(entry) if with_identity else None
            annotations[image][key] = Annotation(box, label, identity)
    if objects and not any(annotations.values()):
        raise SourceError(
            f"none of {len(objects)} annotations can be used: "
            + ", ".join(f"{count} {reason}" for reason, count in skipped.items() if count)
        )
    return annotations


def _identity(entry: dict[str, Any]) -> str | None:
    """The field `identity`, or CVAT's attribute of that name."""
    attributes = entry.get("attributes")
    named = attributes.get("identity") if isinstance(attributes, dict) else None
    value = entry.get("identity", named)
    return None if value is None else _text(str(value)) or None


def _are_shares(objects: list[dict[str, Any]]) -> bool:
    """Whether boxes are shares of the photo: there are some, and no number exceeds 1."""
    boxes = [entry["bbox"] for entry in objects if isinstance(entry.get("bbox"), list)]
    numbers = [v for box in boxes for v in box if isinstance(v, int | float)]
    return bool(numbers) and max(numbers) <= 1 and any(0 < v < 1 for v in numbers)


def _object_box(
    entry: dict[str, Any], size: tuple[int, int] | None, normalized: bool
) -> Box | None:
    """Box of an annotation: its own, or that of its segmentation."""
    width, height = size or (None, None)
    if entry.get("bbox") is None or entry["bbox"] == []:
        box = coco_masks.bounds(entry.get("segmentation"))
        if box is None:
            return None
        return _box([box.x1, box.y1, box.width, box.height], width, height)
    bbox = entry["bbox"]
    if normalized and size and isinstance(bbox, list) and len(bbox) == 4:
        try:
            bbox = [float(value) * side for value, side in zip(bbox, size * 2, strict=True)]
        except (TypeError, ValueError):
            return None
    return _box(bbox, width, height)


def _box(bbox: Any, width: Any, height: Any) -> Box | None:
    """Canonical box for COCO's x, y, width, height; None if it has no area in the photo."""
    try:
        x, y, w, h = (float(value) for value in bbox)
        right, bottom = float(width or math.inf), float(height or math.inf)
    except (TypeError, ValueError, OverflowError):
        return None
    if not all(map(math.isfinite, (x, y, w, h))) or w <= 0 or h <= 0:
        return None
    box = Box(x, y, x + w, y + h).clip(right, bottom)
    return box if box.area > 0 else None


def _captions(data: Any) -> dict[Any, str]:
    """First caption of each image id."""
    captions: dict[Any, str] = {}
    entries = data.get("annotations") if isinstance(data, dict) else None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and (caption := _sentence(entry.get("caption"))):
            captions.setdefault(_key(entry.get("image_id")), caption)
    return captions


def _captions_file(path: str) -> Any:
    """Content of the captions file that belongs to this instances file, if it exists."""
    folder, _, name = path.rpartition("/")
    if not name.startswith("instances_"):
        return None
    try:
        return _read_json(f"{folder}/captions_{name.removeprefix('instances_')}")
    except SourceError:
        return None


def _add_expressions(
    annotations: defaultdict[Any, dict[Any, Annotation]],
    refs: Any,
    name: str,
    skipped: Counter[str],
) -> None:
    """Add referring expressions to the annotations that they refer to.

    `refs` is a list of `{"image_id", "ann_id" or "bbox", "sentences" or "expressions"}`, which is
    RefCOCO's `refs(unc).p` as JSON: `ann_id` is an annotation of the instances file, `bbox` (x, y,
    w, h) is the box of one. A ref that matches no annotation is skipped.
    """
    if isinstance(refs, dict):
        refs = refs.get("refs")
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise SourceError(f"{name} is not a list of referring expressions; see repic.sources.coco")
    for ref in refs:
        candidates = annotations.get(_key(ref.get("image_id")), {})
        target = _key(ref["ann_id"]) if "ann_id" in ref else _nearest(candidates, ref.get("bbox"))
        sentences = _expressions(ref)
        if target not in candidates:
            skipped["referring expressions without an annotation"] += 1
        elif not sentences:
            skipped["referring expressions without a sentence"] += 1
        else:
            annotation = candidates[target]
            merged = tuple(dict.fromkeys((*annotation.expressions, *sentences)))
            candidates[target] = replace(annotation, expressions=merged)


def _nearest(candidates: dict[Any, Annotation], bbox: Any) -> Any:
    """Id of the annotation whose box matches, or None."""
    box = _box(bbox, None, None)
    if box is None or not candidates:
        return None
    best = max(candidates, key=lambda key: candidates[key].box.iou(box))
    return best if candidates[best].box.iou(box) >= SAME_BOX else None


def _expressions(ref: dict[str, Any]) -> list[str]:
    """Sentences of a ref: texts, or RefCOCO's `{"sent": ..., "raw": ...}`."""
    texts = ref.get("sentences") or ref.get("expressions") or []
    listed = texts if isinstance(texts, list) else [texts]
    raw = (t.get("sent") or t.get("raw") if isinstance(t, dict) else t for t in listed)
    return [sentence for sentence in map(_sentence, raw) if sentence]

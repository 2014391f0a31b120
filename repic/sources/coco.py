"""Photos and boxes of a COCO instances file, with its captions and referring expressions.

- `path`: the instances JSON (`images`, `annotations`, `categories`, optionally `licenses`).
- `images`: the folder that `file_name` is relative to; by default the folder of the JSON, or where
  its data set is unpacked (`repic.sources.photo_folder`). A name that leads out of it is refused
  (`repic.sources.contained`).
- Captions: annotations with a `caption` in the same file, otherwise the file `captions_X.json`
  next to `instances_X.json`, as COCO distributes it, or `captions.json` next to `instances.json`,
  as we export it. The first caption of a photo is used.
- `refs`: a file of referring expressions; see `repic.sources.expressions`.

Boxes become xyxy pixels, clipped to the size that the file gives for the photo; the photo itself
may have another scale, or be stored turned (see `SourcePhoto.drawn_on`). An object without a box
gets that of its segmentation, and boxes of which none exceeds 1 are shares of the photo. Ids are
compared as text, so that 7 and "7" are one. Crowds (`iscrowd`) are regions, not objects, and are
skipped, as are depictions (`isfake`, of Objects365) and broken records; the log counts them.
Photos whose file is missing are yielded as well: the stage that opens them reports it.

COCO has no identities, only categories. With `identity: annotation`, an object has that of its
field `identity`, or of the attribute of this name that CVAT writes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from repic.errors import SourceError
from repic.images import uris
from repic.sources import coco_file, contained, expressions, photo_folder
from repic.sources.base import SourceFacts, SourcePhoto, say_skipped

if TYPE_CHECKING:
    from repic import config

FACTS = SourceFacts(
    path="an instances JSON; `source.images` is the folder of its photos",
    identity="field or CVAT attribute `identity` of an object (`annotation`); COCO has none",
    boxes="boxes or segmentations; expressions: `source.refs`, a file of RefCOCO, RefCOCO+ or "
    "RefCOCOg",
    captions="`captions_X.json` beside it, or in the same file",
    splits="those of `source.refs`",
    licence="`licenses` of the file",
    lacks="crowds and depictions",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos of the file, in its order.

    With `identity: annotation`, the field `identity` of annotations is read; COCO itself has none.

    Raises:
        SourceError: a file is missing or has another form.
    """
    path = uris.to_uri(settings.path or "")
    skipped: Counter[str] = Counter()
    content = coco_file.read(path, skipped, settings.identity == "annotation")
    images = uris.to_uri(settings.images) if settings.images else None
    check_folder(images or path.rpartition("/")[0])
    names = [image.name for image in content.images if image.name]
    folder, drop = photo_folder.find(path, images, names)
    objects = content.objects(skipped)
    splits: dict[str, str] = {}
    if settings.refs:
        refs = expressions.read(uris.to_uri(settings.refs))
        splits = expressions.add(refs, objects, skipped)
    content.captions = content.captions or _captions_beside(path)
    yield from listed(content, folder, objects, splits, settings, skipped, drop)
    say_skipped(settings.path, skipped)


def listed(
    content: coco_file.CocoFile,
    folder: str,
    objects: coco_file.Objects,
    splits: Mapping[str, str],
    settings: config.SourceSettings,
    skipped: Counter[str],
    drop: int = 0,
) -> Iterator[SourcePhoto]:
    """The photos of a file whose name is usable.

    Args:
        folder: URI of the folder that names are relative to and stay in.
        splits: Id of a photo -> split.
        skipped: Counts the other photos.
        drop: How many leading folders of a name the folder does not have.
    """
    for image in content.images:
        if image.name is None:
            continue
        uri = photo_folder.uri_of(folder, image.name, drop)
        if uri is None:
            skipped["images without a usable file_name or id"] += 1
            continue
        photo = SourcePhoto(
            uri=uri,
            source=settings.kind,
            licence=settings.licence or content.licences.get(image.licence or ""),
            caption=content.captions.get(image.key),
            annotations=tuple(objects.get(image.key, {}).values()),
            drawn_on=image.size,
            split=splits.get(image.key),
        )
        yield contained.checked(photo, folder)


def check_folder(folder: str) -> None:
    """Raises: SourceError: a local folder of photos does not exist."""
    if folder.startswith("file://") and not os.path.isdir(uris.file_path(folder)):
        raise SourceError(
            f"there is no folder {uris.file_path(folder)}; set source.images to the photos' folder"
        )


def _captions_beside(path: str) -> dict[str, str]:
    """Captions of the file that belongs to this instances file, if it exists."""
    folder, _, name = path.rpartition("/")
    if not name.startswith(("instances_", "instances.")):
        return {}
    try:
        beside = f"{folder}/captions{name.removeprefix('instances')}"
        return coco_file.read(beside, Counter()).captions
    except SourceError:
        return {}

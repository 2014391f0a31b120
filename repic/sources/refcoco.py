"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO in the layout in which they are distributed.

- `path`: a folder with the files of one of them, or with folders of several: `instances.json` and
  `refs(unc).p`, `refs(google).p`, `refs(umd).p`, `grefs(unc).json`. All are read at once. A photo
  and an object of COCO are one in all of them, so an object gets the expressions of all, and a
  folder without `instances.json` uses the objects of the others.
- `images`: the folder of COCO's train2014; by default the first that exists of `_PHOTOS`.
- A photo is in the strictest split that any file gives one of its expressions. RefCOCO and its
  kin split COCO's photos in different ways, and some of them split objects, not photos.

There are no identities: no object is known to be in two photos. The field `identity` is read as in
`repic.sources.coco`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from repic.errors import SourceError
from repic.images import uris
from repic.sources import coco, coco_file, expressions, local_files
from repic.sources.base import SourceFacts, SourcePhoto, say_skipped, strictest

if TYPE_CHECKING:
    from repic import config

_REFS = re.compile(r"g?refs\b.*", re.IGNORECASE)
_PHOTOS = (
    *("images/mscoco/images/train2014", "images/mscoco/train2014", "images/train2014"),
    *("train2014", "images"),
)
"""Where the photos may be, below the folder or the one that it is in."""

FACTS = SourceFacts(
    path="the folder of RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO; `source.images` is train2014",
    identity="none",
    boxes="boxes and expressions",
    splits="its own",
    licence="`licenses` of the file",
    lacks="objects that recur, so it gives no pairs",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos of the instances files, each once.

    Raises:
        SourceError: the folder has no such files, or a file has another form.
    """
    root = local_files.root(settings, "RefCOCO")
    files = _files(root)
    folder = _photo_folder(settings, root)
    skipped: Counter[str] = Counter()
    content = coco_file.CocoFile()
    objects: coco_file.Objects = defaultdict(dict)
    for path in sorted({file.with_name("instances.json") for file in files}):
        if path.exists():
            _merge(content, objects, path, skipped, settings.identity == "annotation")
    if not content.images:
        raise SourceError(f"there is no instances.json beside {files[0]}; unpack it there")
    splits: dict[str, str] = {}
    for file in files:
        refs = expressions.read(uris.file_uri(file))
        for key, split in expressions.add(refs, objects, skipped).items():
            splits[key] = strictest((split, splits.get(key))) or split
    yield from coco.listed(content, folder, objects, splits, settings, skipped)
    say_skipped(settings.path, skipped)


def _files(root: Path) -> list[Path]:
    """Files of referring expressions in a folder and the folders in it.

    Those of RefCLEF are about photos of another collection.
    """
    folders = [root, *sorted(p for p in root.iterdir() if p.is_dir() and p.name != "refclef")]
    files = [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if _REFS.fullmatch(path.name) and path.suffix.lower() in expressions.SUFFIXES
    ]
    if not files:
        raise SourceError(
            f"{root} has no refs(...) files; give the folder that holds refcoco, refcoco+, "
            "refcocog or grefcoco, or one of these (source.path)"
        )
    return files


def _photo_folder(settings: config.SourceSettings, root: Path) -> str:
    """URI of the folder of photos."""
    if settings.images and uris.is_url(settings.images):
        return uris.to_uri(settings.images)
    places = (base / place for base in (root, root.absolute().parent) for place in _PHOTOS)
    return uris.file_uri(
        local_files.images_folder(settings, places, "photos of COCO's train2014 are")
    )


def _merge(
    content: coco_file.CocoFile,
    objects: coco_file.Objects,
    path: Path,
    skipped: Counter[str],
    with_identity: bool,
) -> None:
    """Add what a further file has.

    Raises:
        SourceError: it has the id of a photo of another file for a photo of another name.
    """
    further = coco_file.read(uris.file_uri(path), skipped, with_identity)
    names = {image.key: image.name for image in content.images}
    for image in further.images:
        if names.setdefault(image.key, image.name) != image.name:
            raise SourceError(
                f"{path}: {image.name} has the id of {names[image.key]} in another "
                "instances.json; they are not about the same photos: read them as sources apart"
            )
    known = {image.key for image in content.images}
    content.images += [image for image in further.images if image.key not in known]
    content.licences |= further.licences
    for key, found in further.objects(skipped).items():
        objects[key] = {**found, **objects[key]}

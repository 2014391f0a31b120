"""Photos of the world as files, and one JSON index with all that is known of them.

    FOLDER/photos/<id>.jpg      named by what the photo is made from, so data sets share files
    FOLDER/index-<id>.json      one per data set: boxes, identities, expressions, captions

JPEG at quality 95 without chroma subsampling: its integer transform gives the same bytes under any
build of libjpeg-turbo, at a quarter of the size of a PNG, whose bytes depend on the zlib behind it.
Whatever is there already is kept, and a file appears whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from repic.sample.composition import PhotoPlan
from repic.sample.world import VERSION, World, WorldPhoto
from storage.hashing import fingerprint

Entry = dict[str, Any]
"""What the index says of one photo; see `_entry`."""


def write(world: World, plans: Sequence[PhotoPlan], folder: Path) -> Path:
    """The index of these photos, after making whichever of them `folder` lacks.

    Raises:
        OSError: the folder cannot be written.
    """
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    names = [f"{_key(world, plan)}.jpg" for plan in plans]
    index = folder / f"index-{fingerprint(names)}.json"
    with os.scandir(photos) as files:
        there = {file.name for file in files if file.stat().st_size}
    if index.exists() and there.issuperset(names):
        return index
    known = _known(folder)
    entries = []
    for name, plan in zip(names, plans, strict=True):
        if name not in there or name not in known:
            photo = world.take(plan)
            _write_whole(photos / name, _jpeg(photo))
            known[name] = _entry(name, plan, photo)
        entries.append(known[name])
    text = json.dumps({"size": world.size, "photos": entries}, indent=1)
    _write_whole(index, text.encode())
    return index


def read(index: Path) -> list[Entry]:
    """The photos of an index, in the order of their plans."""
    return json.loads(index.read_bytes())["photos"]


def _key(world: World, plan: PhotoPlan) -> str:
    names = [identity.name for identity in plan.identities]
    return fingerprint([VERSION, world.size, world.seed, plan.seed, plan.background, names])


def _known(folder: Path) -> dict[str, Entry]:
    """What any index of the folder says: a data set that grows is not made anew."""
    return {e["file"]: e for index in sorted(folder.glob("index-*.json")) for e in read(index)}


def _entry(name: str, plan: PhotoPlan, photo: WorldPhoto) -> Entry:
    return {
        "file": name,
        "pool": plan.pool,
        "background": photo.background,
        "caption": photo.caption.text,
        "template": photo.caption.template,
        "objects": [
            {
                "identity": o.identity.name,
                "label": o.identity.category,
                "box": o.box.as_list(),
                "visible_share": round(o.visible_share, 4),
                "truncated": o.truncated,
                "occluded": o.occluded,
                "expressions": list(o.expressions),
                "phrase": phrase,
            }
            for o, phrase in zip(photo.objects, photo.caption.phrases, strict=True)
        ],
    }


def _jpeg(photo: WorldPhoto) -> bytes:
    out = BytesIO()
    photo.image.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

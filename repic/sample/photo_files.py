"""Photos of the world as files, with one JSON index of their ground truth per data set.

    FOLDER/photos/<id>.jpg      named by the hash of the plan, so data sets share files
    FOLDER/index-<id>.json      one per data set: boxes, identities, expressions, captions

JPEG at quality 95 without chroma subsampling: its integer transform gives the same bytes with every
build of libjpeg-turbo, at a quarter of the size of a PNG, whose bytes depend on the zlib version.
Existing files are kept, and writes are atomic.
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

IndexEntry = dict[str, Any]
"""Ground truth of one photo; see `_entry`."""


def write(world: World, plans: Sequence[PhotoPlan], folder: Path) -> Path:
    """Render the photos that `folder` lacks, and return the path of their index.

    Raises:
        OSError: the folder cannot be written.
    """
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    names = [f"{_key(world, plan)}.jpg" for plan in plans]
    index = folder / f"index-{fingerprint(names)}.json"
    with os.scandir(photos) as files:
        existing_names = {file.name for file in files if file.stat().st_size}
    if index.exists() and existing_names.issuperset(names):
        return index
    entries_by_name = _existing_entries(folder)
    entries = []
    for name, plan in zip(names, plans, strict=True):
        if name not in existing_names or name not in entries_by_name:
            photo = world.take(plan)
            _write_atomically(photos / name, _jpeg(photo))
            entries_by_name[name] = _entry(name, plan, photo)
        entries.append(entries_by_name[name])
    text = json.dumps({"size": world.size, "photos": entries}, indent=1)
    _write_atomically(index, text.encode())
    return index


def read(index: Path) -> list[IndexEntry]:
    """The photos of an index, in the order of their plans."""
    return json.loads(index.read_bytes())["photos"]


def _key(world: World, plan: PhotoPlan) -> str:
    names = [identity.name for identity in plan.identities]
    return fingerprint([VERSION, world.size, world.seed, plan.seed, plan.background, names])


def _existing_entries(folder: Path) -> dict[str, IndexEntry]:
    """Entries of all indexes in the folder, so that a larger data set reuses them."""
    return {e["file"]: e for index in sorted(folder.glob("index-*.json")) for e in read(index)}


def _entry(name: str, plan: PhotoPlan, photo: WorldPhoto) -> IndexEntry:
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


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

"""Photos for training and measuring the sample model: two builds that share no identity.

Settings are those of the `sample` profile; the worlds are those of no other build.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from repic import config
from repic.pipeline.execution import build
from repic.pipeline.scan import scan
from repic.sample import composition, photo_files
from repic.sample.identities import RESERVED
from repic.sample.world import World
from storage.store import Store

TRAIN_WORLD, THIRD_WORLD = 3_000_000, 3_100_000
PHOTOS, IDENTITIES = 600, 120


def build_pool(store: Store, folder: Path, pool: str) -> None:
    """Build photos of ordinary identities (`train`) or of reserved ones."""
    if pool == "train":
        settings = config.load(
            "sample",
            source={"count": PHOTOS, "identities": IDENTITIES, "seed": TRAIN_WORLD},
        )
    else:
        world = World(seed=THIRD_WORLD)
        share = config.load("sample").sources[0].look_alikes
        chosen = composition.choose(IDENTITIES, lambda _: "third", THIRD_WORLD, RESERVED, share)
        plans = composition.plans(chosen, lambda _: "third", THIRD_WORLD)
        taken = [plan for plan, _ in zip(plans, range(PHOTOS), strict=False)]
        photo_folder = folder / "reserved"
        entries = photo_files.read(photo_files.write(world, taken, photo_folder))
        settings = config.load("sample", source=_as_coco(entries, photo_folder))
        splits = {"validation": 0.0, "test": 0.0}
        settings = settings.model_copy(update={"splits": config.SplitSettings(**splits)})
    build(settings, store, scan(settings))


def _as_coco(entries: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Write the index as a COCO file with referring expressions; its source settings."""
    labels = sorted({thing["label"] for entry in entries for thing in entry["objects"]})
    images, annotations, refs = [], [], []
    for number, entry in enumerate(entries):
        images.append({"id": number, "file_name": entry["file"]})
        annotations.append({"image_id": number, "caption": entry["caption"]})
        for thing in entry["objects"]:
            x1, y1, x2, y2 = thing["box"]
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": labels.index(thing["label"]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "identity": thing["identity"],
                }
            )
            refs.append(
                {
                    "image_id": number,
                    "ann_id": annotations[-1]["id"],
                    "sentences": thing["expressions"],
                }
            )
    categories = [{"id": number, "name": label} for number, label in enumerate(labels)]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(coco))
    (folder / "refs.json").write_text(json.dumps(refs))
    return {
        "kind": "coco",
        "path": str(folder / "instances.json"),
        "images": str(folder / "photos"),
        "refs": str(folder / "refs.json"),
        "identity": "annotation",
    }

"""Small published builds with real pictures, for tests of reports."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from repic import objectives
from repic.config import ExampleSettings, Settings, SourceSettings
from repic.images import uris
from repic.images.identity import image_id_of
from repic.tables import TABLES
from storage.hashing import fingerprint
from storage.manifest import Manifest, Origin, Run
from storage.store import Store
from tests.objectives.tables import image_row, labels_of, object_row, pair_row

SIZE = (240, 180)
COLORS = ("#d1495b", "#2e86ab", "#3c9d6a", "#e8a33d", "#6a4c93", "#444b54", "#c97b84", "#7a9e22")
LABELS = ("mug", "dog", "mug", "lamp")


@dataclass
class Rows:
    """Rows of a build before it is published; tests may change them."""

    images: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    splits: dict[str, str | None] = field(default_factory=dict)


def photo(path: Path, shapes: list[tuple[str, tuple[int, int, int, int]]], background: str) -> str:
    """Draw ellipses on a plain or `noise:SEED` background; return the image_id of the file."""
    kind, _, seed = background.partition(":")
    if kind == "noise":
        noise = np.random.default_rng(int(seed)).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
        picture = Image.fromarray(noise)
    else:
        picture = Image.new("RGB", SIZE, background)
    draw = ImageDraw.Draw(picture)
    for color, box in shapes:
        draw.ellipse(box, fill=color, outline="#222222", width=2)
        draw.rectangle((box[0] + 12, box[1] + 12, box[0] + 24, box[1] + 24), fill="#ffffff")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=92)
    return image_id_of(hashlib.sha256(path.read_bytes()).hexdigest(), None)


def rows(folder: Path, identities: int = 8, views: int = 3, noise: bool = False) -> Rows:
    """Identities in several photos each, two per photo, with pairs of every band.

    Identities 2n and 2n + 1 share photos. The last two are in the split test, the two before in
    validation.
    """
    result = Rows()
    crops: dict[tuple[int, int], dict[str, Any]] = {}
    for i in range(identities):
        partner = i ^ 1
        group = (identities - 1 - i) // 2
        split = {0: "test", 1: "validation"}.get(group, "train")
        for view in range(views):
            boxes = (20 + 12 * view, 30, 100 + 12 * view, 120), (140, 60 + 8 * view, 215, 150)
            shapes = [(COLORS[i % 8], boxes[0]), (COLORS[partner % 8], boxes[1])]
            plain = ("#e9e4d8", "#c8d6df", "#8a8f7c")[view % 3]
            key, path = f"{i}-{view}", folder / f"thing {i}" / f"view {view}.jpg"
            image_id = photo(
                path, [] if noise else shapes, f"noise:{i * views + view}" if noise else plain
            )
            result.images.append(
                image_row(key)
                | {
                    "image_id": image_id,
                    "uri": uris.file_uri(path),
                    "width": SIZE[0],
                    "height": SIZE[1],
                    "near_duplicate_group": image_id,
                    "caption": f"A {LABELS[i % 4]} stands on a table.",
                }
            )
            result.splits[image_id] = split
            for index, (identity, box) in enumerate(zip((i, partner), boxes, strict=True)):
                x1, y1, x2, y2 = map(float, box)
                row = object_row(
                    f"{key}-{index}",
                    key,
                    identity=f"thing {identity}",
                    label=LABELS[identity % 4],
                    main=index == 0,
                    confidence=0.91 - 0.1 * index,
                    area_share=(x2 - x1) * (y2 - y1) / (SIZE[0] * SIZE[1]),
                    **dict(zip(("x1", "y1", "x2", "y2"), (x1, y1, x2, y2), strict=True)),
                )
                result.objects.append(row | {"image_id": image_id})
                if index == 0:
                    crops[i, view] = result.objects[-1]
    for (i, view), anchor in crops.items():
        split = result.splits[anchor["image_id"]]
        other = crops[i, (view + 1) % views]
        similarity = 0.9 - 0.021 * i - 0.03 * view
        result.pairs.append(pair_row(anchor, other, "positive", split=split, similarity=similarity))
        for step, band in ((2, "hard"), (4, "medium"), (6, "easy")):
            far = crops[(i + step) % identities, view]
            if result.splits[far["image_id"]] == split:
                close = 0.8 - 0.09 * step + 0.01 * view
                result.pairs.append(
                    pair_row(
                        anchor,
                        far,
                        "negative",
                        band=band,
                        split=split,
                        similarity=close,
                        percentile=97.0 - 8 * step,
                    )
                )
    return result


def publish(
    store: Store,
    content: Rows,
    *,
    notes: Mapping[str, Any] | None = None,
    settings: ExampleSettings | None = None,
) -> Manifest:
    """Publish a dataset version of these rows, as a build does; the objectives draw examples."""
    tables: dict[str, pa.Table] = {
        "images": TABLES["images"].table(content.images),
        "objects": TABLES["objects"].table(content.objects),
        "groups": TABLES["groups"].table(
            [
                {
                    "object_id": row["object_id"],
                    "image_id": row["image_id"],
                    "group": row["identity"] or row["object_id"],
                    "origin": "label",
                    "split": content.splits[row["image_id"]],
                }
                for row in content.objects
            ]
        ),
        "pairs": TABLES["pairs"].table(content.pairs),
        "quarantine": TABLES["quarantine"].table(content.quarantine),
    }
    examples, drawn = objectives.build(
        tables["images"],
        tables["objects"],
        labels_of(content.objects),
        tables["pairs"],
        content.splits,
        settings or ExampleSettings(),
    )
    tables["examples"] = TABLES["examples"].table(examples)
    settings_of_build = Settings(source=SourceSettings(path="/photos"))
    published = {
        name: store.publish(
            name,
            table,
            Origin(
                fingerprint=fingerprint([name, table.to_pylist()]),
                models={"detector": {"kind": "photos", "vocabulary": ["mug", "dog"] * 50}}
                if name == "objects"
                else {},
                sources={"folder": {"path": "/photos", "files": 26}} if name == "images" else {},
            ),
            key=TABLES[name].key,
            schema=TABLES[name].schema,
        )
        for name, table in tables.items()
    }
    dataset = store.publish_dataset(
        "dataset",
        Origin(
            fingerprint=fingerprint([m.fingerprint for m in published.values()]),
            inputs=tuple(m.as_input() for m in published.values()),
            settings=settings_of_build.model_dump(mode="json"),
            notes={
                "images": {"files": len(content.images) + len(content.quarantine)},
                "examples": {note.objective: note.as_json() for note in drawn},
                **(notes or {}),
            },
            code_version="0.1.0",
            run=Run(user="ada", host="engine"),
        ),
    )
    store.commit({m.name: m.version for m in (*published.values(), dataset)})
    return dataset

"""Output of each stage for small fixed inputs, as recorded in golden.json.

The same fingerprint must mean the same rows. A stage's fingerprint covers settings, sentences and
models, but of the code only the `version`, which developers raise; `test_golden.py` checks that.
After raising a version, record again:

    python -m tests.pipeline.stages.golden
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from repic import config
from repic.config import Settings
from repic.images.coordinates import Box
from repic.images.identity import image_id_of
from repic.objectives import names
from repic.pipeline.scan import Reject, Scan, ScannedPhoto
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import Inputs, RowStage, Stage, TableStage
from repic.sources.base import Annotation, SourcePhoto
from repic.tables import TABLES
from storage.hashing import fingerprint
from tests.objectives.tables import Build, labelled_build
from tests.random_models import open_clip_folder

RECORD = Path(__file__).parent / "golden.json"
ENVIRONMENT = {"encoder", "uri"}
"""Columns that depend on the machine: a hash of weights and device, a temporary folder."""


NOUNS: tuple[list[dict[str, Any]], ...] = (
    [
        {"text": "Pembroke", "probability": 0.3, "broad": False},
        {"text": "dog", "probability": 0.9, "broad": True},
    ],
    [{"text": "lynx", "probability": 0.1, "broad": False}],
    [],
)
"""Of the boxes of each photo: only the broad noun is sure; none is; a detector without any."""


def settings(folder: Path) -> Settings:
    """Boxes of the annotations; a tiny encoder on the CPU."""
    model = _encoder(folder / "encoder")
    return config.load(
        "photos",
        ("detector.kind=annotation", f"encoder.pretrained={model}", "encoder.view=crop"),
        source={"kind": "folder", "path": str(folder), "identity": "annotation"},
        runtime={"device": "cpu", "threads": 1, "batch_size": 4},
    )


def made(folder: Path) -> dict[str, dict[str, pa.Table]]:
    """Stage -> its tables for the fixed inputs."""
    chosen = settings(folder)
    scan = _scan(folder)
    build = labelled_build(8, 3)
    groups = _groups(build)
    probes, photos, boxes = _probes(scan), _photos(scan), _boxes(scan)
    reviews = TABLES["reviews"].table([_review("object", boxes["object_id"][0].as_py(), "reject")])
    inputs: dict[str, dict[str, pa.Table]] = {
        "probes": {},
        "images": {"probes": probes},
        "detections": {"images": photos},
        "objects": {"images": photos, "detections": boxes, "reviews": reviews},
        "embeddings": {"images": photos, "objects": _objects(boxes)},
        "pairs": {
            "images": build.images,
            "objects": build.objects,
            "embeddings": _vectors(build),
            "reviews": TABLES["reviews"].empty(),
        },
        "labels": {"images": photos, "objects": _objects(boxes), "groups": _one_group(boxes)},
        "examples": {
            "images": build.images,
            "objects": build.objects,
            "groups": groups,
            "labels": _labels(build),
            "pairs": build.pairs,
        },
        "quarantine": {"probes": probes, "detections": boxes, "embeddings": _vectors(build)},
    }
    refused = (Reject("elsewhere", "objects", "corrupt", "broken", scan.photos[0].image_id),)
    return {
        stage.name: _run(stage, Inputs(chosen, scan, tables, refused), chosen)
        for stage in STAGES
        for tables in (_read(stage, inputs[stage.name]),)
    }


def _read(stage: Stage, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """What a build gives a stage of its tables: the columns that it says it uses."""
    columns = {name: stage.columns.get(name, table.column_names) for name, table in tables.items()}
    return {name: table.select(list(columns[name])) for name, table in tables.items()}


def digest(tables: Mapping[str, pa.Table]) -> str:
    """Hash of rows, floats to three decimals, without vectors and what depends on the machine."""
    rows = {
        name: [
            {
                key: _rounded(value)
                for key, value in row.items()
                if key not in ENVIRONMENT and key != "vector"
            }
            for row in table.to_pylist()
        ]
        for name, table in tables.items()
    }
    return fingerprint(rows)


def vectors(tables: Mapping[str, pa.Table]) -> list[list[float]]:
    """First numbers of each vector, to two decimals: no two machines agree on more."""
    return [
        [round(float(value), 2) for value in vector[:8]]
        for vector in tables["embeddings"]["vector"].to_pylist()
    ]


def recipe(stage: Stage, chosen: Settings) -> str:
    """What determines a row besides its input; the version alone if weights are generated here."""
    made_here = stage.name == "embeddings"
    return fingerprint([stage.name, stage.version]) if made_here else stage.fingerprint(chosen)


def packages() -> dict[str, Any]:
    """Packages that names come from; they are part of the fingerprint of examples."""
    return dict(names.describe(()))


def record() -> dict[str, Any]:
    """Content of golden.json."""
    with tempfile.TemporaryDirectory() as folder:
        tables = made(Path(folder))
        chosen = settings(Path(folder))
        stages = {
            stage.name: {
                "version": stage.version,
                "recipe": recipe(stage, chosen),
                "rows": digest(tables[stage.name]),
            }
            for stage in STAGES
        }
    stages["embeddings"]["vectors"] = vectors(tables["embeddings"])
    stages["examples"]["packages"] = packages()
    return stages


def _run(stage: Stage, inputs: Inputs, chosen: Settings) -> dict[str, pa.Table]:
    if isinstance(stage, TableStage):
        return dict(stage.run(inputs).tables)
    assert isinstance(stage, RowStage)
    return {stage.name: stage.run(stage.inputs(inputs), chosen).rows}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value


def _encoder(folder: Path) -> str:
    """A tiny OpenCLIP model whose weights are the same under every version of torch."""
    from safetensors.torch import load_file, save_file

    if not folder.exists():
        open_clip_folder(folder)
        path = folder / "open_clip_model.safetensors"
        weights = load_file(path)
        draw = np.random.RandomState(0)  # whose numbers are frozen, unlike a Generator's
        for name in sorted(weights):
            values = draw.standard_normal(tuple(weights[name].shape)) * 0.2
            weights[name] = weights[name].new_tensor(np.asarray(values, np.float32))
        save_file(weights, path)
    return f"local-dir:{folder}"


def _picture(number: int) -> Image.Image:
    """Smooth waves in three colours."""
    y, x = np.mgrid[0 : 60 + 4 * number, 0:80]
    waves = [np.sin(x / (7 + number) + c) * np.cos(y / (9 + c)) for c in range(3)]
    return Image.fromarray((127.5 * (1 + np.stack(waves, -1))).astype(np.uint8))


def _scan(folder: Path) -> Scan:
    """Three photos with annotations, the last of them twice; and a file that is no photo."""
    photos = []
    for number in range(3):
        path = folder / f"{number}.ppm"
        _picture(number).save(path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        annotations = (
            Annotation(Box(4.123, 5, 40, 50), "dog", f"rex {number}", ("the dog",), False, None),
            Annotation(Box(42, 8, 90, 40), "cat", None, (), True, True),
            Annotation(Box(1, 1, 3, 2), "flea"),
        )
        photo = SourcePhoto(path.as_uri(), "folder", "CC0", None, "Two animals.", annotations)
        also_at = (f"file:///copy-{number}.ppm",) if number == 2 else ()
        photos.append(ScannedPhoto(image_id_of(sha256, None), sha256, photo, also_at))
    rejects = (Reject("file:///text.jpg", "images", "not-an-image", "it is text"),)
    return Scan(tuple(sorted(photos, key=lambda f: f.image_id)), rejects)


def _probes(scan: Scan) -> pa.Table:
    return TABLES["probes"].table(
        [
            {
                "image_id": f.image_id,
                "width": 80,
                "height": 60,
                "format": "PPM",
                "orientation": 1,
                "phash": f"{0x0F0F_0000_1234_0000 + 7 * index:016x}",
            }
            for index, f in enumerate(scan.photos)
        ]
    )


def _photos(scan: Scan) -> pa.Table:
    return TABLES["images"].table(
        [
            {
                **row,
                "uri": f.photo.uri,
                "also_at": [],
                "sha256": f.sha256,
                "near_duplicate_group": f.image_id,
                "source": "folder",
                "licence": None,
                "identity": None,
                "caption": None,
                "label": None,
                "split": None,
                "annotations": [
                    {
                        "box": a.box.clip(80, 60).as_list(),
                        "label": a.label,
                        "identity": a.identity,
                        "expressions": list(a.expressions),
                        "truncated": a.truncated,
                        "occluded": a.occluded,
                    }
                    for a in f.photo.annotations
                ],
            }
            for f, row in zip(scan.photos, _probes(scan).to_pylist(), strict=True)
        ]
    )


def _boxes(scan: Scan) -> pa.Table:
    """Three boxes per photo; two of one label, one of which an annotation covers."""
    corners = ((5, 5, 40, 50), (42, 8, 80, 40), (10, 30, 30, 58))
    return TABLES["detections"].table(
        [
            {
                "object_id": fingerprint(["box", f.sha256, index]),
                "image_id": f.image_id,
                **dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True)),
                "label": ("dog", "cat", "dog")[index],
                "confidence": 0.9 - index / 10,
                "detector": "d",
                "vocabulary": "v",
                "truncated": None,
                "occluded": None,
                "expressions": [],
                "nouns": NOUNS[index],
                "identity": None,
            }
            for f in scan.photos
            for index, box in enumerate(corners)
        ]
    )


def _objects(boxes: pa.Table) -> pa.Table:
    rows = []
    for row in boxes.to_pylist():
        derived = {"area_share": 0.1, "same_label_count": 1, "main": False}
        rows.append({**row, **derived, "identity_origin": None})
    return TABLES["objects"].table(rows)


def _vectors(build: Build) -> pa.Table:
    """Unit vectors of 64 times plus or minus 1/8, whose products are exact on any machine."""
    draw = np.random.RandomState(1)
    kinds: dict[str, np.ndarray] = {}
    rows, vectors = [], []
    for row in build.objects.to_pylist():
        base = kinds.setdefault(row["identity"], draw.choice([-1, 1], 64))
        flipped = np.where(draw.random_sample(64) < 0.1, -base, base)
        vectors.append(flipped / 8)
        rows.append({"object_id": row["object_id"], "image_id": row["image_id"]})
    flat = pa.array(np.concatenate(vectors).astype(np.float16), pa.float16())
    table = pa.Table.from_pylist(rows)
    table = table.append_column("encoder", pa.array(["e"] * len(rows)))
    table = table.append_column("view", pa.array(["crop"] * len(rows)))
    return TABLES["embeddings"].check(
        table.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, 64))
    )


def _groups(build: Build) -> pa.Table:
    return TABLES["groups"].table(
        [
            {
                "object_id": row["object_id"],
                "image_id": row["image_id"],
                "group": row["identity"],
                "origin": "label",
                "split": build.splits[row["image_id"]],
            }
            for row in build.objects.to_pylist()
        ]
    )


def _one_group(boxes: pa.Table) -> pa.Table:
    """Boxes of one label and kind of nouns are one identity."""
    return TABLES["groups"].table(
        [
            {
                "object_id": row["object_id"],
                "image_id": row["image_id"],
                "group": fingerprint([row["label"], row["nouns"]]),
                "origin": "mined",
                "split": "train",
            }
            for row in boxes.to_pylist()
        ]
    )


def _labels(build: Build) -> pa.Table:
    return TABLES["labels"].table(
        [
            {
                "object_id": row["object_id"],
                "image_id": row["image_id"],
                "label": row["label"],
                "origin": "detector",
                "probability": row["confidence"],
                "unspoken": None,
            }
            for row in build.objects.to_pylist()
        ]
    )


def _review(subject: str, subject_id: str, decision: str) -> dict[str, Any]:
    return {
        "subject": subject,
        "subject_id": subject_id,
        "decision": decision,
        "reviewer": "Jo",
        "note": None,
    }


def main(write: Callable[[str], object] = RECORD.write_text) -> None:
    write(json.dumps(record(), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())

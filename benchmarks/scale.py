"""Time and peak memory of the stages that see whole tables, and how they grow with the photos.

    python benchmarks/scale.py                                # minutes
    python benchmarks/scale.py --photos 20000 60000 200000    # hours, and much memory

There are no pixels: the tables of photos, objects and vectors are drawn at random, as a build of a
photo collection has them. Each photo shows one main object, every third photo a second one. An
identity has two to eight photos, some of them near-duplicates; half of the identities are labelled.
Each stage runs in a process of its own, which reads the columns that it uses, as a build does; its
peak is the highest resident memory of that process, with 0.2 GB of Python and its libraries, and
0.5 GB of torch where it mines. Seconds are those of `run`
alone; of a row-wise stage, those of its plan, all shards, and publishing in a store. Processor
seconds are those of the whole process, also on a machine that does something else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peak import peak_gb
from repic import config
from repic.config import Settings
from repic.pipeline import execution
from repic.pipeline.build import Build
from repic.pipeline.scan import Scan
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import Inputs, RowStage, TableStage
from repic.tables import TABLES
from storage.hashing import fingerprint
from storage.manifest import Origin
from storage.store import Store

MEASURED = ("pairs", "labels", "examples")
"""Stages in order; each reads what the stages before it wrote."""

TARGET_GB, TARGET_GROWTH = 4.0, 1.10
"""Peak of each stage at the largest size, and its growth from the smallest to the largest size."""

LABELS = (
    *("dog", "cat", "mug", "car", "chair", "backpack", "bicycle", "bottle", "boot", "teapot"),
    *("clock", "guitar", "toy", "vase", "lamp", "robot", "candle", "can", "sneaker", "scarf"),
)


def ids(kind: str, count: int) -> list[str]:
    return [fingerprint([kind, i]) for i in range(count)]


def world(photos: int, width: int, seed: int = 0) -> dict[str, pa.Table]:
    """The tables of images, objects and embeddings; vectors have `width` numbers."""
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 9, photos // 2)
    identity = np.repeat(np.arange(len(sizes)), sizes)[:photos]
    burst = np.arange(photos)
    again = np.flatnonzero((random.random(photos) < 0.1) & (np.diff(identity, prepend=-1) == 0))
    burst[again] = burst[again - 1]
    second = np.arange(0, photos, 3)
    photo = np.concatenate([np.arange(photos), second])
    # What stands beside the main object recurs in other photos as well.
    shown = np.concatenate([identity, random.permutation(identity)[: len(second)]])
    labelled = random.random(len(sizes)) < 0.5
    image_id = ids("image", photos)
    return {
        "images": _images(image_id, [image_id[i] for i in burst.tolist()]),
        "objects": _objects(image_id, photo, shown, labelled, random),
        "embeddings": _embeddings(image_id, photo, shown, width, random),
    }


def _images(image_id: list[str], near_duplicate_group: list[str]) -> pa.Table:
    n = len(image_id)
    columns: dict[str, Any] = {
        "image_id": image_id,
        "uri": [f"file:///photos/{i}.jpg" for i in image_id],
        "also_at": [[]] * n,
        "sha256": [i * 2 for i in image_id],
        "width": [1024] * n,
        "height": [768] * n,
        "format": ["JPEG"] * n,
        "orientation": [1] * n,
        "phash": [i[:16] for i in image_id],
        "near_duplicate_group": near_duplicate_group,
        "source": ["folder"] * n,
        "annotations": [[]] * n,
    }
    return _table("images", columns, n)


def _objects(
    image_id: list[str],
    photo: np.ndarray,
    shown: np.ndarray,
    labelled: np.ndarray,
    random: np.random.Generator,
) -> pa.Table:
    n, main = len(photo), np.arange(len(photo)) < len(image_id)
    # The main object is on the left, the second one on the right.
    left = np.where(main, random.uniform(10, 100, n), random.uniform(560, 600, n))
    top, wide, high = (random.uniform(*s, n) for s in ((10, 100), (200, 400), (200, 600)))
    label = [LABELS[i % len(LABELS)] for i in shown.tolist()]
    names = [f"thing {i}" if labelled[i] else None for i in shown.tolist()]
    columns: dict[str, Any] = {
        "object_id": ids("object", n),
        "image_id": [image_id[i] for i in photo.tolist()],
        "x1": left,
        "y1": top,
        "x2": left + wide,
        "y2": top + high,
        "label": label,
        "confidence": random.uniform(0.3, 1, n),
        "detector": ["d"] * n,
        "vocabulary": ["v"] * n,
        "area_share": wide * high / (1024 * 768),
        "same_label_count": [1] * n,
        "main": main,
        "expressions": [[]] * n,
        "nouns": [
            [{"text": text, "probability": p, "broad": False}]
            for text, p in zip(label, random.uniform(0.5, 1, n).tolist(), strict=True)
        ],
        "identity": names,
        "identity_origin": ["source" if name else None for name in names],
    }
    return _table("objects", columns, n)


def _embeddings(
    image_id: list[str],
    photo: np.ndarray,
    shown: np.ndarray,
    width: int,
    random: np.random.Generator,
) -> pa.Table:
    """Vectors around those of identities, which are around those of labels."""
    n, things = len(photo), int(shown.max()) + 1
    kinds = 0.8 * random.normal(size=(len(LABELS), width))
    centers = kinds[np.arange(things) % len(LABELS)] + 0.7 * random.normal(size=(things, width))
    vectors = np.empty((n, width), dtype=np.float16)
    for start in range(0, n, 10_000):
        rows = centers[shown[start : start + 10_000]]
        rows = rows + 0.8 * random.uniform(0.6, 1.2, (len(rows), 1)) * random.normal(
            size=rows.shape
        )
        vectors[start : start + 10_000] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    flat = pa.array(vectors.reshape(-1), pa.float16())
    columns = {
        "object_id": ids("object", n),
        "image_id": [image_id[i] for i in photo.tolist()],
        "encoder": ["e"] * n,
        "view": ["crop"] * n,
        "vector": pa.FixedSizeListArray.from_arrays(flat, width),
    }
    return TABLES["embeddings"].check(pa.table(columns))


def _table(name: str, columns: dict[str, Any], rows: int) -> pa.Table:
    schema = TABLES[name].schema
    filled = {f.name: columns.get(f.name, [None] * rows) for f in schema}
    arrays = [pa.array(filled[f.name], f.type) for f in schema]
    return TABLES[name].check(pa.Table.from_arrays(arrays, schema=schema))


def settings() -> Settings:
    return config.load("photos", ("source.kind=folder", "source.path=/photos"))


def run(name: str, folder: Path) -> None:
    """Run one stage on the tables of a folder; write its tables, print time and peak."""
    stage = next(s for s in STAGES if s.name == name)
    if isinstance(stage, RowStage):
        run_row_stage(stage, folder)
        return
    assert isinstance(stage, TableStage)
    tables = {}
    for table in stage.reads:
        file, columns = folder / f"{table}.parquet", [*stage.columns.get(table, ())] or None
        tables[table] = (
            pq.read_table(file, columns=columns) if file.exists() else TABLES[table].empty()
        )
    began = time.perf_counter()
    output = stage.run(Inputs(settings(), Scan((), ()), tables))
    seconds = time.perf_counter() - began
    counts = {table: rows.num_rows for table, rows in output.tables.items()}
    written = {table: folder / f"{table}.parquet" for table in output.tables}
    for table, rows in output.tables.items():
        pq.write_table(rows, written[table])
    report(seconds, counts, sum(file.stat().st_size for file in written.values()))


def run_row_stage(stage: RowStage, folder: Path) -> None:
    """Run a row-wise stage in a store that another process makes; print time and peak."""
    subprocess.run([sys.executable, __file__, "--store", stage.name, str(folder)], check=True)
    build = build_in(folder)
    began, in_shards = time.perf_counter(), 0.0
    for shard in build.plan(stage).shards:
        start = time.process_time()
        execution.run_shard(shard)
        in_shards += time.process_time() - start
    (version,) = build.publish(stage)
    size = sum(written.bytes for written in version.shards)
    report(time.perf_counter() - began, {version.name: version.rows}, size, in_shards)


def report(seconds: float, rows: dict[str, int], size: int, in_shards: float = 0.0) -> None:
    """Print the figures of a stage.

    Args:
        size: Bytes of the tables that it wrote.
        in_shards: Processor seconds of what can be computed elsewhere.
    """
    took = {"seconds": seconds, "processor_seconds": time.process_time(), "in_shards": in_shards}
    print(json.dumps({**took, "peak_gb": peak_gb(), "rows": rows, "bytes": size}))


def build_in(folder: Path) -> Build:
    return Build(settings(), Store.open(folder / "store", create=True), Scan((), ()))


def publish_inputs(name: str, folder: Path) -> None:
    """Publish the tables that a stage reads, as those of a build without photos."""
    build = build_in(folder)
    for table in next(s for s in STAGES if s.name == name).reads:
        origin = Origin(fingerprint=build.fingerprints[table])
        rows = pq.read_table(folder / f"{table}.parquet")
        build.store.publish(table, rows, origin, key=TABLES[table].key)


def measure(photos: int, width: int, stages: list[str], limit: float | None) -> dict[str, Any]:
    """Figures of each stage at one size. A stage that fails ends the size."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, table in world(photos, width).items():
            pq.write_table(table, Path(folder) / f"{name}.parquet")
        for name in stages:
            command = [sys.executable, __file__, "--run", name, folder]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
            except subprocess.TimeoutExpired:
                print(f"{photos:9,} {name:9} took more than {limit:.0f} s")
                break
            if done.returncode:
                error = done.stderr.strip().splitlines()[-1:] or [f"signal {-done.returncode}"]
                print(f"{photos:9,} {name:9} failed: {error[0]}")
                break
            figures[name] = json.loads(done.stdout)
            found = figures[name]
            rows = ", ".join(f"{count:,} {table}" for table, count in found["rows"].items())
            each = 1000 * found["seconds"] / photos
            print(
                f"{photos:9,} {name:9} {found['seconds']:9.1f} s {each:8.2f} ms a photo "
                f"{found['peak_gb']:7.2f} GB   {rows}",
                flush=True,
            )
    return figures


def growth(results: dict[int, dict[str, Any]], stages: list[str]) -> bool:
    """Print how time and peak grow from the smallest to the largest size; whether one is missed."""
    low, high = min(results), max(results)
    missed = False
    for name in stages:
        small, large = results[low].get(name), results[high].get(name)
        if not small or not large:
            print(f"{name:9} has no figures of both sizes: MISSED")
            missed = True
            continue
        peak = large["peak_gb"] / small["peak_gb"]
        bad = large["peak_gb"] > TARGET_GB or peak > TARGET_GROWTH
        missed |= bad
        print(
            f"{name:9} {high / low:.1f} times the photos: "
            f"{large['seconds'] / small['seconds']:.1f} times the time, "
            f"{peak:.2f} times the peak {'MISSED' if bad else 'ok'}"
        )
    print(f"targets: peak <= {TARGET_GB:g} GB and <= {TARGET_GROWTH:g} times that of the smallest")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[1000, 3000, 10000], metavar="N")
    parser.add_argument("--width", type=int, default=256, help="numbers of a vector (%(default)s)")
    parser.add_argument("--until", choices=MEASURED, default=MEASURED[-1], help="the last stage")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="longest run of one stage")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--store", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--run", nargs=2, metavar=("STAGE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run[0], Path(options.run[1]))
        return 0
    if options.store:
        publish_inputs(options.store[0], Path(options.store[1]))
        return 0
    stages = list(MEASURED[: MEASURED.index(options.until) + 1])
    results = {n: measure(n, options.width, stages, options.limit) for n in options.photos}
    missed = growth(results, stages)
    if options.json:
        print(json.dumps(results))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

"""What single photos cost: measured here, and written for `scale_plan.py`.

All seconds are processor seconds, of all cores together, also on a machine that does something
else. Photos go through the stages up to their vectors with models that are loaded; tables through
`scale.py`; and one search for neighbors is alone.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import photo_stages, scale
from benchmarks.run import machine
from repic import config
from repic.mining import search, similarity
from repic.mining.neighbors import NEIGHBORS
from repic.pipeline import execution
from repic.pipeline.build import Build
from repic.pipeline.scan import scan
from repic.pipeline.stages import embeddings, objects
from storage.store import Store

WIDTH = 256
"""Numbers of a vector."""

SEARCHED = 20_000
"""Objects of the search that is measured alone."""

SEARCHES = 5
"""Times that it is run: it is short, and other work makes it longer."""


def write(file: Path, sizes: Sequence[int], pictures: int) -> None:
    """Measure, and write the file.

    Args:
        sizes: Numbers of photos of drawn tables.
        pictures: Number of generated photos that are decoded, boxed and embedded.
    """
    found = {
        "machine": machine(),
        "photos": of_photos(pictures),
        "search": of_search(SEARCHED),
        "tables": {n: scale.measure(n, WIDTH, list(scale.MEASURED), None) for n in sizes},
    }
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def of_photos(count: int) -> dict[str, Any]:
    """Stages up to the vectors, of generated photos: inside of their shards, and outside."""
    photo_stages.clock = time.process_time
    inside: dict[str, float] = {}
    outside: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        photos = photo_stages.draw(Path(folder) / "drawn", count)
        settings = config.load("photos", (f"source.path={photos}",))
        [settings] = objects.DetectionStage().parts_of(settings)
        objects.detector(settings.detector, settings.runtime)
        embeddings.encoder(settings.encoder, settings.runtime)
        scan(settings)  # imports what reads the source
        began = time.process_time()
        scanned = scan(settings)
        outside["scan"] = time.process_time() - began
        store, timed = Store.open(Path(folder) / "store", create=True), photo_stages.Timed()
        build = Build(settings, store, scanned)
        with store.lease():
            for stage in photo_stages.MEASURED:
                began = time.process_time()
                execution.run_stages(build, timed.compute, Build.publish, [stage])
                inside[stage.name] = timed.seconds[stage.name]
                outside[stage.name] = time.process_time() - began - inside[stage.name]
        size = sum(path.stat().st_size for path in (Path(folder) / "store").rglob("*.parquet"))
    return {"count": count, "in_shards": inside, "outside": outside, "bytes": size}


def of_search(objects: int) -> dict[str, Any]:
    """The neighbors of each of some objects, by comparing all pairs: the quickest of some runs."""
    vectors = scale.world(objects * 3 // 4, WIDTH)["embeddings"]["vector"].combine_chunks()
    grid = similarity.on_grid(vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, WIDTH))
    photo = np.arange(len(grid))
    seconds = []
    for _ in range(SEARCHES):
        began = time.process_time()
        search.nearest(grid, photo, NEIGHBORS)
        seconds.append(time.process_time() - began)
    return {"objects": len(grid), "processor_seconds": min(seconds)}

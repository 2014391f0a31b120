"""Time of the detection and embedding stages relative to the bare forward passes of their models.

    python benchmarks/photo_stages.py                     # claim: <= 1.15x each
    python benchmarks/photo_stages.py --images FOLDER     # own photos instead of generated ones

Generated JPEGs of 1,024 pixels are built with the `photos` profile, up to their vectors. The time
of a stage is that of its shards as `repic build` runs them: reading, hashing and decoding files,
models, kept results. The models are loaded before. `forward` is the time of as many forward passes
on one batch of prepared tensors, in the same process.

Detection has a second part that is neither forward nor overhead: GrabCut, which belongs to the
method. Its CPU time on one thread is measured for some of the photos. `method` is the time of
forward plus that of GrabCut shared by all cores: less is not possible if the forward passes keep
all cores busy. The target is given for both.

Exact: some photos alone have the rows that they have among the others.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from repic import config
from repic.config import Settings
from repic.images import decode
from repic.models import grabcut, imagenet_classifier
from repic.models.detectors import main_object
from repic.pipeline import execution
from repic.pipeline.build import Build, ShardResult, StagePlan
from repic.pipeline.scan import scan
from repic.pipeline.stages import STAGES, embeddings, objects
from repic.pipeline.stages.base import Stage
from repic.sample import photo_files
from repic.sample.world import World
from storage.store import Store

clock = time.perf_counter
"""What seconds are; with `--processor` those of all cores, for a machine that is not quiet."""

TARGET = 1.15
SIZE = 1024
SAMPLE = 32
"""Photos of which GrabCut is measured."""
ALONE = 3
"""Photos that are computed alone as well, to see that their rows are the same."""
MEASURED = STAGES[: 1 + [stage.name for stage in STAGES].index("embeddings")]


class Timed:
    """Runs the shards of a build, and keeps the time and the inputs of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.batches: dict[str, int] = defaultdict(int)
        self.inputs: dict[str, list[pa.Table]] = defaultdict(list)

    def compute(self, stage: Stage, plan: StagePlan) -> Iterator[ShardResult]:
        for shard in plan.shards:
            self.inputs[stage.name].append(shard.inputs)
            self.batches[stage.name] += ceil(len(shard.inputs) / shard.settings.runtime.batch_size)
            start = clock()
            result = execution.run_shard(shard)
            self.seconds[stage.name] += clock() - start
            yield result


def seconds_of(work: Callable[[], Any], times: int) -> float:
    """Wall seconds of so many calls, after one that does not count."""
    work()
    start = clock()
    for _ in range(times):
        work()
    return clock() - start


def detection_forward(settings: Settings, batches: int) -> float:
    """Wall seconds of the forward passes of the detector, on prepared tensors."""
    model: Any = objects.detector(settings.detector, settings.runtime)
    sides = (*main_object.MAP_SIDES, imagenet_classifier.SIDE, imagenet_classifier.SIDE)

    def one_batch(pixels: Any) -> None:
        with model._runtime.inference():
            model._model.forward_head(model._model.forward_features(pixels))

    return sum(
        seconds_of(lambda p=pixels: one_batch(p), 2 * batches)  # and the mirrored image
        for pixels in (model._pixels([noise(side)] * 8) for side in sides)
    )


def embedding_forward(settings: Settings, batches: int) -> float:
    """Wall seconds of the forward passes of the encoder, on prepared tensors."""
    import torch

    model: Any = embeddings.encoder(settings.encoder, settings.runtime)
    prepared = [torch.from_numpy(noise(model.side))] * settings.runtime.batch_size
    pixels = model._normalized(prepared).contiguous(memory_format=torch.channels_last)

    def one_batch() -> None:
        with model._runtime.inference():
            model._model.encode_image(pixels)

    return seconds_of(one_batch, batches)


def noise(side: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def grabcut_seconds(settings: Settings, uris: list[str]) -> float:
    """CPU seconds of GrabCut, on one thread, for a photo."""
    model: Any = objects.detector(settings.detector, settings.runtime)
    total = 0.0
    for uri in uris:
        image = decode.open_image(uri)
        [evidence] = model._evidence([model.prepare(image)])
        start = time.thread_time()
        grabcut.main_object(image, evidence)
        total += time.thread_time() - start
    return total / len(uris)


def is_exact(settings: Settings, store: Store, timed: Timed) -> bool:
    """Whether some photos, computed alone, have the rows that they have in the build."""
    for stage in (objects.DetectionStage(), embeddings.EmbeddingStage()):
        name = stage.name
        inputs = pa.concat_tables(timed.inputs[name])
        ids = pc.unique(inputs["image_id"])[-ALONE:]
        alone = inputs.filter(pc.is_in(inputs["image_id"], ids))
        rows = store.read(f"{name}@v1")
        rows = rows.filter(pc.is_in(rows["image_id"], ids))
        found = stage.run(alone, settings).rows.sort_by("object_id")
        if not found.equals(rows.sort_by("object_id").select(found.column_names)):
            return False
    return True


def measure(photos: Path, folder: Path) -> tuple[dict[str, float], bool]:
    """All figures, and whether results are exact."""
    settings = config.load("photos", (f"source.path={photos}",))
    execution.check(settings)
    [settings] = objects.DetectionStage().parts_of(settings)
    objects.detector(settings.detector, settings.runtime)
    embeddings.encoder(settings.encoder, settings.runtime)
    store = Store.open(folder, create=True)
    timed, scanned = Timed(), scan(settings)
    with store.lease():
        execution.run_stages(
            Build(settings, store, scanned), timed.compute, Build.publish, MEASURED
        )
    exact = is_exact(settings, store, timed)
    detection, embedding = timed.seconds["detections"], timed.seconds["embeddings"]
    of_detector = detection_forward(settings, timed.batches["detections"])
    of_encoder = embedding_forward(settings, timed.batches["embeddings"])
    uris = [scanned.photo.uri for scanned in scanned.photos]
    some = uris[:: max(1, len(uris) // SAMPLE)]
    cut = grabcut_seconds(settings, some) * len(uris)
    method = of_detector + cut / (os.cpu_count() or 1)
    return {
        "photos": len(uris),
        "objects": sum(map(len, timed.inputs["embeddings"])),
        "detection": detection,
        "forward of the detector": of_detector,
        "GrabCut on one thread": cut,
        "embedding": embedding,
        "forward of the encoder": of_encoder,
        "detection / forward": detection / of_detector,
        "detection / method": detection / method,
        "embedding / forward": embedding / of_encoder,
    }, exact


def draw(folder: Path, count: int) -> Path:
    """Photos of the generated world."""
    world = World(SIZE)
    photo_files.write(world, world.dataset(count, max(8, count // 4), lambda _: "train"), folder)
    return folder / "photos"


def main() -> int:
    global clock
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=790, help="generated photos (%(default)s)")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="these photos instead")
    parser.add_argument("--processor", action="store_true", help="processor seconds, not wall time")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    if options.processor:
        clock = time.process_time
    with tempfile.TemporaryDirectory() as name:
        photos = options.images or draw(Path(name) / "drawn", options.photos)
        figures, exact = measure(photos, Path(name) / "store")
    for figure, value in figures.items():
        print(f"{figure:26} {value:8.2f}")
    ratios = [figure for figure in figures if "/" in figure]
    for figure in ratios:
        print(f"{figure} <= {TARGET}: {'ok' if figures[figure] <= TARGET else 'MISSED'}")
    print(f"exact: {'yes' if exact else 'NO'}")
    if options.json:
        print(json.dumps({"figures": figures, "exact": exact}))
    return 2 if not exact else int(any(figures[figure] > TARGET for figure in ratios))


if __name__ == "__main__":
    sys.exit(main())

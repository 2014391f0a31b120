"""Embeddings: one vector per object."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
from PIL.Image import Image

from repic.config import EncoderSettings, RuntimeSettings, Settings
from repic.images.coordinates import Box
from repic.images.decode import reduction
from repic.images.fetch import ImageRefused
from repic.models import encoder as embed
from repic.models.devices import batched
from repic.models.encoder import Encoder
from repic.pipeline.scan import Reject
from repic.pipeline.stages.base import Inputs, Json, RowStage, ShardOutput
from repic.pipeline.stages.prefetch import Decode, prefetch
from repic.tables import TABLES
from storage.hashing import fingerprint

if TYPE_CHECKING:
    from torch import Tensor


GAP = 2
"""Least side of a crop of a reduced photo, in sides of what the encoder reads: the crop is resized
by at least this factor, as in Pillow's `reducing_gap`, so that the reduction is hardly seen."""

_model_lock = Lock()


@lru_cache(maxsize=1)
def encoder(settings: EncoderSettings, runtime: RuntimeSettings) -> Encoder:
    """The encoder of this process, loaded once."""
    return embed.load(settings, runtime)


class EmbeddingStage(RowStage):
    """Encode the crop of each object, or its complete photo."""

    name = "embeddings"
    subject = "object_id"
    version = 2
    reads = ("images", "objects")
    columns: ClassVar = {
        "images": ("image_id", "uri", "width", "height"),
        "objects": ("object_id", "image_id", "x1", "y1", "x2", "y2"),
    }
    writes = ("embeddings",)

    def recipe(self, settings: Settings) -> Json:
        return {
            "encoder": embed.describe(settings.encoder, settings.runtime),
            "view": settings.encoder.view,
            "margin": settings.encoder.margin,
        }

    def models(self, settings: Settings) -> dict[str, Json]:
        return {"encoder": self.recipe(settings)["encoder"]}

    def inputs(self, inputs: Inputs) -> pa.Table:
        photos, objects = (
            inputs.tables[name].select(list(columns)) for name, columns in self.columns.items()
        )
        rows = objects.join(photos, "image_id").sort_by(
            [("image_id", "ascending"), ("object_id", "ascending")]
        )
        return rows.add_column(0, "key", rows["object_id"])

    def load(self, settings: Settings) -> None:
        encoder(settings.encoder, settings.runtime)

    def run(self, inputs: pa.Table, settings: Settings) -> ShardOutput:
        model = encoder(settings.encoder, settings.runtime)
        objects, vectors = [], []
        rejects: list[Reject] = []
        views = _views(inputs.to_pylist(), model, settings, rejects)
        for batch in batched(views, settings.runtime.batch_size):
            with _model_lock:
                vectors.append(model.encode_prepared([view for _, view in batch]))
            objects += [row for row, _ in batch]
        rows = _rows(objects, np.concatenate([np.zeros((0, model.dim), np.float32), *vectors]))
        columns = {
            **rows,
            "encoder": [fingerprint(self.recipe(settings)["encoder"])] * len(objects),
            "view": [settings.encoder.view] * len(objects),
        }
        table = TABLES["embeddings"].check(pa.table(columns))
        return ShardOutput(table.sort_by("object_id"), tuple(rejects))


def _rows(objects: list[dict], vectors: np.ndarray) -> dict[str, pa.Array | list[str]]:
    half = pa.array(np.ascontiguousarray(vectors, np.float16).reshape(-1), pa.float16())
    return {
        "object_id": pa.array([row["object_id"] for row in objects], pa.string()),
        "image_id": pa.array([row["image_id"] for row in objects], pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(half, vectors.shape[1]),
    }


def _views(
    rows: list[dict], model: Encoder, settings: Settings, rejects: list[Reject]
) -> Iterator[tuple[dict, Tensor]]:
    """What the encoder reads of each object. Photos that are refused are added to `rejects`."""
    objects = {key: list(group) for key, group in groupby(rows, key=lambda row: row["image_id"])}
    photos = [group[0] for group in objects.values()]

    def prepare(photo: dict, decode: Decode) -> list[tuple[dict, Tensor]]:
        return list(_views_of(decode, objects[photo["image_id"]], model, settings.encoder))

    with ThreadPoolExecutor(settings.runtime.workers) as pool:
        for photo, views in prefetch(photos, prepare, pool, settings.runtime):
            if isinstance(views, ImageRefused):
                details = (views.reason, views.message, photo["image_id"])
                rejects.append(Reject(photo["uri"], "embeddings", *details))
            else:
                yield from views


def _views_of(
    decode: Decode, rows: list[dict], model: Encoder, settings: EncoderSettings
) -> Iterator[tuple[dict, Tensor]]:
    """What the encoder reads of the objects of a photo.

    The photo is decoded once for each reduction that an object needs. An object is not seen at the
    reduction of another one, since its vector must not depend on the others.
    """
    areas = [_area(row, settings) for row in rows]
    reductions = [_reduction(row, area, model) for row, area in zip(rows, areas, strict=True)]
    for shared in sorted(set(reductions)):
        picture = decode(shared)
        views: dict[Box, Tensor] = {}
        for row, area, own in zip(rows, areas, reductions, strict=True):
            if own == shared:
                if area not in views:
                    views[area] = model.prepare(_crop(picture, area, shared))
                yield row, views[area]
        del picture  # before the next one is decoded


def _area(row: dict, settings: EncoderSettings) -> Box:
    """What is seen of a photo: all, or the object's box, grown by a margin on each side."""
    width, height = row["width"], row["height"]
    if settings.view == "photo":
        return Box(0, 0, width, height)
    box = Box.of_row(row)
    right, down = settings.margin * box.width, settings.margin * box.height
    return Box(box.x1 - right, box.y1 - down, box.x2 + right, box.y2 + down)


def _reduction(row: dict, area: Box, model: Encoder) -> int:
    seen = area.clip(row["width"], row["height"])
    return reduction(min(seen.width, seen.height), GAP * model.side)


def _crop(picture: Image, area: Box, factor: int) -> Image:
    """Crop an area of a photo to integer pixels of its picture, which is reduced by a factor."""
    x1, y1, x2, y2 = area.scale(1 / factor, 1 / factor).clip(*picture.size).as_list()
    left, top = int(x1), int(y1)
    return picture.crop((left, top, max(left + 1, round(x2)), max(top + 1, round(y2))))

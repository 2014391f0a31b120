"""Embeddings: one vector per object."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from PIL.Image import Image

from repic.config import EncoderSettings, RuntimeSettings, Settings
from repic.images.coordinates import Box
from repic.images.fetch import ImageRefused
from repic.models import encoder as embed
from repic.models.devices import batched
from repic.models.encoder import Encoder
from repic.pipeline.scan import Reject
from repic.pipeline.stages.base import Inputs, Json, RowStage, ShardOutput
from repic.pipeline.stages.prefetch import prefetch
from repic.tables import TABLES
from storage.hashing import fingerprint

if TYPE_CHECKING:
    from torch import Tensor


_model_lock = Lock()


@lru_cache(maxsize=1)
def encoder(settings: EncoderSettings, runtime: RuntimeSettings) -> Encoder:
    """The encoder of this process, loaded once."""
    return embed.load(settings, runtime)


class EmbeddingStage(RowStage):
    """Encode the crop of each object, or its complete photo."""

    name = "embeddings"
    subject = "object_id"
    version = 1
    reads = ("images", "objects")
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
        objects = inputs.tables["objects"].select(["object_id", "image_id", "x1", "y1", "x2", "y2"])
        photos = inputs.tables["images"].select(["image_id", "uri", "width", "height"])
        rows = objects.join(photos, "image_id").sort_by(
            [("image_id", "ascending"), ("object_id", "ascending")]
        )
        return rows.add_column(0, "key", rows["object_id"])

    def load(self, settings: Settings) -> None:
        encoder(settings.encoder, settings.runtime)

    def run(self, inputs: pa.Table, settings: Settings) -> ShardOutput:
        model = encoder(settings.encoder, settings.runtime)
        objects, vectors, rejects = [], [], []
        views = _views(inputs.to_pylist(), model, settings)
        for batch in batched(views, settings.runtime.batch_size):
            usable = [(row, view) for row, view in batch if not isinstance(view, ImageRefused)]
            with _model_lock:
                vectors.append(model.encode_prepared([view for _, view in usable]))
            objects += [row for row, _ in usable]
            for row, view in batch:
                if isinstance(view, ImageRefused):
                    details = (view.reason, view.message, row["image_id"])
                    rejects.append(Reject(row["uri"], "embeddings", *details))
        rows = _rows(objects, np.concatenate([np.zeros((0, model.dim), np.float32), *vectors]))
        columns = {
            **rows,
            "encoder": [fingerprint(self.recipe(settings)["encoder"])] * len(objects),
            "view": [settings.encoder.view] * len(objects),
        }
        table = TABLES["embeddings"].check(pa.table(columns))
        return ShardOutput(table.sort_by("object_id"), tuple(dict.fromkeys(rejects)))


def _rows(objects: list[dict], vectors: np.ndarray) -> dict[str, pa.Array | list[str]]:
    half = pa.array(np.ascontiguousarray(vectors, np.float16).reshape(-1), pa.float16())
    return {
        "object_id": pa.array([row["object_id"] for row in objects], pa.string()),
        "image_id": pa.array([row["image_id"] for row in objects], pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(half, vectors.shape[1]),
    }


def _views(
    rows: list[dict], model: Encoder, settings: Settings
) -> Iterator[tuple[dict, Tensor | ImageRefused]]:
    """Input of the encoder for each object; each photo is decoded once and then released."""
    objects = {key: list(group) for key, group in groupby(rows, key=lambda row: row["image_id"])}
    photos = [group[0] for group in objects.values()]
    for [(photo, picture)] in prefetch(photos, 1, settings.runtime.workers):
        yield from _views_of(picture, objects[photo["image_id"]], model, settings.encoder)
        del picture


def _views_of(
    picture: Image | ImageRefused, rows: list[dict], model: Encoder, settings: EncoderSettings
) -> list[tuple[dict, Tensor | ImageRefused]]:
    if isinstance(picture, ImageRefused):
        return [(row, picture) for row in rows]
    if settings.view == "photo":
        view = model.prepare(picture)
        return [(row, view) for row in rows]
    return [(row, model.prepare(_crop(picture, row, settings.margin))) for row in rows]


def _crop(picture: Image, row: dict, margin: float) -> Image:
    """Crop the object's box, grown by `margin` of its size on each side, to integer pixels."""
    box = Box.of_row(row)
    right, down = margin * box.width, margin * box.height
    grown = Box(box.x1 - right, box.y1 - down, box.x2 + right, box.y2 + down)
    x1, y1, x2, y2 = grown.clip(*picture.size).as_list()
    left, top = int(x1), int(y1)
    return picture.crop((left, top, max(left + 1, round(x2)), max(top + 1, round(y2))))

"""Large photos are seen reduced: boxes are in pixels of the photo, and vectors hardly change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from repic import config
from repic.config import Settings
from repic.images.coordinates import Box
from repic.images.identity import image_id_of
from repic.images.uris import file_uri
from repic.pipeline.stages import embeddings, objects
from repic.pipeline.stages.embeddings import EmbeddingStage
from repic.pipeline.stages.objects import DetectionStage
from tests.models.test_imagenet_classifier import ball

SIZE = (2401, 1603)
BALL = Box(900, 400, 1700, 1200)
BOXES = (
    Box(800, 300, 1800, 1300),
    Box(40, 30, 2300, 1590),
    Box(1200, 700, 1260, 790),
    Box(0, 0, 300, 1603),
)
"""Seen at one half, one half, all of their pixels, and all."""


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPIC_CACHE", str(tmp_path_factory.mktemp("cache")))
        runtime = {"device": "cpu", "threads": 1, "batch_size": 2}
        yield config.load("photos", ("source.path=unused", "encoder.margin=0"), runtime=runtime)


@pytest.fixture(scope="module", params=["JPEG", "PNG"])
def photo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict:
    path: Path = tmp_path_factory.mktemp("photo") / "photo"
    noise = np.random.default_rng(0).normal(0, 20, (SIZE[1], SIZE[0], 1))
    pixels = np.clip(np.asarray(ball(SIZE, BALL)) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, request.param)
    image_id = image_id_of(hashlib.sha256(path.read_bytes()).hexdigest(), None)
    return {
        "image_id": image_id,
        "uri": file_uri(path),
        "width": SIZE[0],
        "height": SIZE[1],
        "annotations": None,
    }


def test_a_box_is_in_pixels_of_the_photo(chosen: Settings, photo: dict) -> None:
    model = objects.detector(chosen.detector, chosen.runtime)
    assert max(SIZE) >= 2 * model.side
    [row] = DetectionStage().run(pa.Table.from_pylist([photo]), chosen).rows.to_pylist()
    found = Box.of_row(row)
    assert found.iou(BALL) > 0.9
    assert found == found.clip(*SIZE)


def rows_of(photo: dict, boxes: tuple[Box, ...]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            photo | {"object_id": str(n), "x1": b.x1, "y1": b.y1, "x2": b.x2, "y2": b.y2}
            for n, b in enumerate(boxes)
        ]
    )


def vectors(rows: pa.Table, settings: Settings) -> np.ndarray:
    found = EmbeddingStage().run(rows, settings).rows
    assert found["object_id"].to_pylist() == rows["object_id"].to_pylist()
    return np.array(found["vector"].to_pylist(), np.float32)


def test_a_vector_does_not_depend_on_other_objects_of_the_photo(
    chosen: Settings, photo: dict
) -> None:
    rows = rows_of(photo, BOXES)
    together = vectors(rows, chosen)
    alone = [vectors(rows.slice(n, 1), chosen)[0] for n in range(len(BOXES))]
    np.testing.assert_array_equal(together, alone)


def test_a_reduced_photo_gives_nearly_the_vector_of_the_whole(
    chosen: Settings, photo: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(photo, BOXES)
    reduced = vectors(rows, chosen)
    monkeypatch.setattr(embeddings, "GAP", 100)
    full = vectors(rows, chosen)
    similarity = (reduced * full).sum(axis=1) / np.linalg.norm(full, axis=1) ** 2
    assert (similarity[:2] > 0.98).all(), similarity
    assert not np.array_equal(reduced[0], full[0])
    np.testing.assert_array_equal(reduced[2:], full[2:])

"""Exports of the shared build, and how their pictures are compared with those of the store."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from repic.export import registry, run
from repic.export.run import DEFAULTS, ExportResult
from repic.export.target import ExportOptions
from repic.images.cache import PictureCache
from storage.store import Store

REF = "dataset@latest"
Row = dict[str, Any]


def exported(
    store: Store, name: str, folder: Path, options: ExportOptions = DEFAULTS, **more: Any
) -> ExportResult:
    """An export of the latest dataset."""
    return run.export(store, REF, registry.target(name), folder, options, **more)


def rows_of(store: Store, keep: Callable[[Row], bool] = lambda row: True) -> dict[str, Row]:
    """The rows of the examples by id."""
    rows = store.read("examples@latest").to_pylist()
    return {row["example_id"]: row for row in rows if keep(row)}


def shown(row: Row) -> list[Image.Image]:
    """The pictures that a model is trained on."""
    cache = PictureCache()
    return [cache.picture(entry) for entry in row["images"]]


def same(one: Image.Image | bytes | Path, other: Image.Image) -> bool:
    """Whether a picture has exactly the pixels of another."""
    if isinstance(one, bytes | Path):
        one = Image.open(io.BytesIO(one) if isinstance(one, bytes) else one)
    return np.array_equal(np.asarray(one.convert("RGB")), np.asarray(other))


def pictures_are_equal(pictures: Iterator[Any] | list[Any], row: Row) -> bool:
    """Whether pictures are those of a row, in order."""
    return all(same(one, other) for one, other in zip(pictures, shown(row), strict=True))

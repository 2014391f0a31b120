"""Pairs of a collection that grows, with the neighbors that an earlier build kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.scale import settings, world
from repic.mining import increments, search
from repic.pipeline.kept_neighbors import NAME
from repic.pipeline.scan import Scan
from repic.pipeline.stages.base import Inputs, Output
from repic.pipeline.stages.pairs import PairStage
from repic.tables import TABLES
from storage import kept_parts
from storage.store import Store

PHOTOS = 600


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(increments, "LEAST", 100)


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the searches from nothing."""
    sizes: list[int] = []
    whole = search.nearest

    def counted(grid: np.ndarray, *rest: object) -> object:
        sizes.append(len(grid))
        return whole(grid, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "nearest", counted)
    return sizes


def mined(tables: dict[str, pa.Table], photos: np.ndarray, store: Store | None) -> Output:
    """The stage on some photos."""
    kept = tables["images"]["image_id"].take(photos).combine_chunks()
    inputs = {
        name: table.filter(pc.is_in(table["image_id"], kept)) for name, table in tables.items()
    }
    inputs["reviews"] = TABLES["reviews"].empty()
    return PairStage().run(Inputs(settings(), Scan((), ()), inputs, store=store))


def test_pairs_of_a_grown_collection_are_those_of_a_build_from_nothing(
    tmp_path: Path, searched: list[int]
) -> None:
    tables = world(PHOTOS, 32)
    store = Store.open(tmp_path / "store", create=True)
    mined(tables, np.arange(PHOTOS - 4), store)
    assert max(searched) > PHOTOS  # objects
    searched.clear()
    assert store.files.find(f"parts/{NAME}").keys() == {
        path
        for card in kept_parts.find(store.files, datetime.min.replace(tzinfo=UTC)).values()
        for path in card.paths
    }
    found = mined(tables, np.arange(PHOTOS), Store.open(store.location))
    assert max(searched) < increments.LEAST  # the smaller splits
    expected = mined(tables, np.arange(PHOTOS), None)
    assert max(searched) > PHOTOS
    for name, table in expected.tables.items():
        assert found.tables[name].equals(table)
    assert found.notes == expected.notes


def test_a_damaged_file_of_neighbors_is_not_used(tmp_path: Path) -> None:
    tables = world(PHOTOS, 32)
    store = Store.open(tmp_path / "store", create=True)
    expected = mined(tables, np.arange(PHOTOS), store)
    files = list((tmp_path / "store" / "parts" / NAME).rglob("*.parquet"))
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[:-100])
    found = mined(tables, np.arange(PHOTOS), Store.open(store.location))
    assert found.tables["pairs"].equals(expected.tables["pairs"])


@pytest.mark.parametrize(("unlabelled_photos", "said"), [(0, False), (5, True)])
def test_nothing_mined_is_said_if_photos_without_a_label_were_to_be_mined(
    unlabelled_photos: int, said: bool
) -> None:
    tables = world(60, 32)
    noise = np.random.default_rng(0).normal(size=(tables["objects"].num_rows, 32))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    tables["embeddings"] = _with_column(tables["embeddings"], "vector", list(noise))
    objects = tables["objects"]  # the second object of a photo has no label
    alone = [
        row["object_id"] if row["main"] and i >= unlabelled_photos else None
        for i, row in enumerate(objects.to_pylist())
    ]
    objects = _with_column(objects, "identity", alone)
    tables["objects"] = _with_column(objects, "identity_origin", [i and "object" for i in alone])
    why = mined(tables, np.arange(60), None).notes["nothing_mined"]
    assert bool(why) == said


def _with_column(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    kind = table.schema.field(name).type
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values, kind))

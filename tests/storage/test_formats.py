"""Reading a version as Arrow, DuckDB relation and datasets.Dataset."""

from __future__ import annotations

import gc

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from storage.errors import StoreError
from tests.storage.stores import SCHEMA, build, origin, rows


@pytest.fixture(params=["store", "memory"])
def built(request):
    store = request.getfixturevalue(request.param)
    build(store, 1)
    return store


def test_arrow(built):
    assert built.read("images").equals(rows(0, 10))
    assert built.read("images@v1", ["value", "id"]).column_names == ["value", "id"]
    some = built.read("images", ["id"], pc.field("value") >= 8)
    assert some["id"].to_pylist() == ["0008", "0009"]
    with pytest.raises(StoreError, match="No column nope: there are id, value, box, tags, vector"):
        built.read("images", ["nope"])


def test_duckdb(built):
    assert built.relation("images").aggregate("sum(value)").fetchall() == [(45,)]
    with duckdb.connect() as connection:
        built.relation("images", connection).create_view("images")
        built.relation("pairs", connection).create_view("pairs")
        query = "SELECT count(*), min(images.vector) FROM images JOIN pairs USING (id)"
        assert connection.sql(query).fetchall() == [(10, [0.0, 1.0, 2.0])]


def test_datasets_without_a_copy(built):
    dataset = built.dataset("images")
    assert dataset.num_rows == 10
    assert dataset[4]["tags"] == [{"name": "t4", "score": 0.5}]
    assert dataset[4]["vector"] == [4, 1, 2]
    assert dataset.cache_files == []
    assert built.dataset("images", ["id"]).column_names == ["id"]


def test_a_dataset_is_the_arrow_memory_itself(store):
    before = pa.total_allocated_bytes()
    table = pa.table({"id": range(100_000), "v": [float(i) for i in range(100_000)]})
    store.publish("images", table, origin("f"), key=["id"])
    size = table.nbytes
    del table
    gc.collect()
    dataset = store.dataset("images@v1")
    assert dataset.num_rows == 100_000
    assert pa.total_allocated_bytes() - before < 1.5 * size


def test_a_shard_that_is_gone_is_named(store):
    build(store, 1)
    store.files.remove(store.manifest("images").shards[0].path)
    with pytest.raises(StoreError, match=r"it is gone.*: run `repic repair`"):
        store.read("images")


def test_docs_come_back(built):
    assert built.read("images").schema.equals(SCHEMA, check_metadata=True)


def test_a_checkout_never_leaves_its_folder(store, tmp_path):
    store.publish_files(
        "policy", {"a/b.bin": b"new", "c.bin": b"new"}, origin("f"), kind="checkpoint"
    )
    outside, folder = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    folder.mkdir()
    (outside / "c.bin").write_bytes(b"old")
    (folder / "c.bin").symlink_to(outside / "c.bin")
    store.checkout("policy@v1", folder)
    assert (outside / "c.bin").read_bytes() == b"old"
    assert not (folder / "c.bin").is_symlink()
    assert (folder / "c.bin").read_bytes() == b"new"
    (folder / "a" / "b.bin").unlink()
    (folder / "a").rmdir()
    (folder / "a").symlink_to(outside)
    with pytest.raises(StoreError, match=r"a is a symbolic link: choose an empty folder"):
        store.checkout("policy@v1", folder)
    assert sorted(path.name for path in outside.iterdir()) == ["c.bin"]


def test_changed_files_are_not_handed_out(store, tmp_path):
    made = store.publish_files("policy", {"a.bin": b"right"}, origin("f"), kind="checkpoint")
    assert store.read_file("policy@v1", "a.bin") == b"right"
    store.files.replace(made.files[0].path, b"wrong")
    for call in (
        lambda: store.read_file("policy@v1", "a.bin"),
        lambda: store.checkout("policy@v1", tmp_path / "out"),
    ):
        with pytest.raises(StoreError, match="its bytes have changed"):
            call()
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(StoreError, match=r"has no file b\.bin"):
        store.read_file("policy@v1", "b.bin")

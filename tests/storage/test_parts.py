"""Parts: results that survive a crash."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from storage import gc, integrity, shards
from storage.errors import StoreError
from storage.store import Store
from tests.storage.stores import SCHEMA, build, origin, rows
from tests.timing import is_within


def test_a_part_is_found_again_with_what_it_covers(store):
    part = store.write_part("objects", rows(0, 5), recipe="r1", covers=["b", "a"])
    assert part.covers == ("a", "b")
    assert Store.open(store.location).parts("objects", "r1") == [part]
    assert store.parts("objects", "r2") == store.parts("images", "r1") == []
    assert store.read_part(part).equals(rows(0, 5))
    assert store.read_part(part, ["value"]).column_names == ["value"]


def test_writing_a_part_twice_writes_nothing(store):
    store.write_part("objects", rows(0, 5), recipe="r1", covers=["a"])
    before = store.files.find("parts")
    store.write_part("objects", rows(0, 5), recipe="r1", covers=["a"])
    assert store.files.find("parts") == before


def test_an_input_without_rows_is_covered_too(store):
    part = store.write_part("objects", SCHEMA.empty_table(), recipe="r1", covers=["a"])
    assert store.parts("objects", "r1") == [part]
    assert part.shard.rows == 0
    with pytest.raises(StoreError, match="covers no input"):
        store.write_part("objects", rows(0, 5), recipe="r1", covers=[])
    with pytest.raises(StoreError, match="hash as recipe"):
        store.write_part("objects", rows(0, 5), recipe="../x", covers=["a"])


def test_what_is_not_a_whole_part_is_left_out_and_said(store, caplog):
    part = store.write_part("objects", rows(0, 5), recipe="r1", covers=["a"])
    whole = store.files.read(part.shard.path)
    store.files.replace("parts/objects/r1/cut.parquet", whole[:-100])
    store.files.replace("parts/objects/r1/empty.parquet", b"")
    store.files.replace("parts/objects/r1/note.txt", b"hello")
    assert store.parts("objects", "r1") == [part]
    assert caplog.text.count("not a complete part") == 3


def test_parts_are_published_as_they_are_and_then_reachable(store):
    parts = [
        store.write_part("objects", rows(i, i + 5), recipe="r1", covers=[str(i)])
        for i in range(0, 20, 5)
    ]
    parts.append(store.write_part("objects", SCHEMA.empty_table(), recipe="r1", covers=["none"]))
    manifest = store.publish("objects", parts, origin("f1"), key=["id"], schema=SCHEMA)
    assert {s.path for s in manifest.shards} == {p.shard.path for p in parts}
    whole = store.publish("whole", rows(0, 20), origin("f1"), key=["id"])
    assert manifest.content == whole.content
    assert store.read("objects@v1").sort_by("id").equals(rows(0, 20))
    assert store.read("objects@v1").schema.equals(SCHEMA, check_metadata=True)
    store.commit({"objects": 1, "whole": 1})
    gc.gc(store, delete=True)
    assert len(store.parts("objects", "r1")) == 5
    assert integrity.verify(store) == []


def test_parts_must_fit_together(store):
    a = store.write_part("objects", rows(0, 5), recipe="r1", covers=["a"])
    b = store.write_part("objects", rows(0, 6), recipe="r1", covers=["b"])
    with pytest.raises(StoreError, match="2 rows with the key"):
        store.publish("objects", [a, b], origin("f1"), key=["id"])
    other = store.write_part("objects", pa.table({"id": ["x"]}), recipe="r1", covers=["c"])
    with pytest.raises(StoreError, match="different columns"):
        store.publish("objects", [a, other], origin("f1"), key=["id"])
    with pytest.raises(StoreError, match="has the columns id, but its schema has"):
        store.publish("objects", [other], origin("f1"), key=["id"], schema=SCHEMA)


def test_a_part_that_gc_took_is_missed_before_anything_is_published(store):
    build(store, 1)
    part = store.write_part("objects", rows(0, 5), recipe="r1", covers=["a"])
    gc.gc(store, delete=True)
    with pytest.raises(StoreError, match="it is gone"):
        store.publish("objects", [part], origin("f1"), key=["id"])
    assert store.versions("objects") == []


def test_a_thousand_parts_are_listed_fast(memory, tmp_path):
    store = Store.open(tmp_path / "s", create=True)
    store.write_part("objects", rows(0, 50), recipe="r1", covers=["a"])
    folder = tmp_path / "s/parts/objects/r1"
    for i in range(999):
        more = shards.encode(rows(0, 50), {shards.CONTENT: b"0" * 32, shards.COVERS: b'["%d"]' % i})
        (folder / f"{hashlib.sha256(more).hexdigest()}.parquet").write_bytes(more)
    assert is_within(5, lambda: store.parts("objects", "r1"))
    assert len(store.parts("objects", "r1")) == 1000

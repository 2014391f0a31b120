"""The publish protocol: what is published, what is not, and what remains after a fault."""

from __future__ import annotations

import errno
import math
import os
import pickle

import pyarrow as pa
import pytest

from storage import files, integrity, parts, publishing, shards
from storage.errors import NotDeterministicError, NotFoundError, StoreError
from storage.hashing import content_hash
from storage.store import Store
from tests.storage.stores import SCHEMA, build, origin, rows


def test_a_version_keeps_everything_that_was_said_of_it(store):
    source = origin("f1", settings={"k": [1]}, models={"m": "x"}, notes={"why": "test"})
    manifest = store.publish("images", rows(0, 20), source, key=["id"])
    again = Store.open(store.location).manifest("images@v1")
    assert again == manifest
    assert (again.rows, again.key, again.content) == (20, ("id",), content_hash(rows(0, 20)))
    assert again.schema_arrow.equals(SCHEMA, check_metadata=True)
    assert again.columns[0].doc == "Names the row."
    assert again.settings == {"k": [1]}
    assert again.run.host
    assert str(again.ref) == "images@v1"


def test_the_same_rows_are_the_same_file_whatever_their_order_and_chunks(store, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 7)
    table = rows(0, 20)
    other = pa.concat_tables([table.slice(9), table.slice(0, 9)])
    a = store.publish("images", table, origin("f1"), key=["id"])
    b = store.publish("images", other, origin("f2"), key=["id"])
    assert (a.shards, a.content) == (b.shards, b.content)
    assert (a.version, b.version) == (1, 2)


def test_a_large_table_is_split(store):
    table = pa.table({"id": range(shards.ROWS_PER_SHARD + 1)})
    manifest = store.publish("images", table, origin("f1"), key=["id"])
    assert [shard.rows for shard in manifest.shards] == [shards.ROWS_PER_SHARD, 1]
    assert manifest.content == content_hash(table)


def test_a_stream_of_tables_is_one_version_and_one_shard_is_in_memory(store, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 5)
    pieces = (rows(start, start + 2) for start in (8, 0, 4, 2, 6))
    manifest = store.publish("images", pieces, origin("f1"), key=["id"])
    assert manifest.content == content_hash(rows(0, 10))
    assert sum(shard.rows for shard in manifest.shards) == 10
    assert len(manifest.shards) > 1
    for shard in manifest.shards:
        ids = store.read_part(parts.Part(shard, SCHEMA.remove_metadata(), ()))["id"].to_pylist()
        assert ids == sorted(ids)


def test_a_stream_of_nothing_is_an_empty_table(store):
    manifest = store.publish("images", iter(()), origin("f1"), key=["id"], schema=SCHEMA)
    assert (manifest.rows, len(manifest.shards)) == (0, 1)


def test_a_key_of_two_tables_of_a_stream_is_refused(store):
    with pytest.raises(StoreError, match="rows with the key"):
        store.publish("images", iter([rows(0, 2), rows(1, 3)]), origin("f1"), key=["id"])


def test_the_same_fingerprint_publishes_nothing(store):
    first = store.publish("images", rows(0, 5), origin("f1"), key=["id"])
    before = store.files.find("")
    assert store.publish("images", rows(0, 5), origin("f1"), key=["id"]) == first
    assert store.files.find("") == before
    assert store.find("images", "f1") == first
    assert store.find("images", "f2") is None


def test_the_same_fingerprint_with_other_rows_is_refused(store):
    store.publish("images", rows(0, 5), origin("f1"), key=["id"])
    with pytest.raises(NotDeterministicError, match=r"images@v1.*5 rows, now 6.*deterministic"):
        store.publish("images", rows(0, 6), origin("f1"), key=["id"])
    assert store.versions("images") == [1]


def test_publishing_shows_nothing_before_commit(store):
    store.publish("images", rows(0, 5), origin("f1"), key=["id"])
    with pytest.raises(NotFoundError, match=r"no images@latest: choose one of v1"):
        store.resolve("images")
    store.commit({"images": 1})
    assert store.resolve("images@latest").version == 1


def test_an_empty_table_has_its_columns(store):
    manifest = store.publish("images", [], origin("f1"), key=["id"], schema=SCHEMA)
    assert manifest.rows == 0
    assert len(manifest.shards) == 1
    assert store.read("images@v1").schema.equals(SCHEMA, check_metadata=True)
    with pytest.raises(StoreError, match="give its schema"):
        store.publish("images", [], origin("f2"), key=["id"])


@pytest.mark.parametrize("key", [[], ["nope"]])
def test_a_table_needs_a_key(store, key):
    with pytest.raises(StoreError, match="needs a key out of its columns id, value"):
        store.publish("images", rows(0, 5), origin("f1"), key=key)


def test_a_key_names_one_row(store):
    twice = pa.concat_tables([rows(0, 5), rows(4, 5)])
    with pytest.raises(StoreError, match=r"2 rows with the key \{'id': '0004'\}"):
        store.publish("images", twice, origin("f1"), key=["id"])
    assert store.versions("images") == []


def test_a_key_names_one_row_also_across_shards_and_parts(store, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 5)
    twice = pa.concat_tables([rows(0, 10), rows(4, 5)])
    with pytest.raises(StoreError, match=r"2 rows with the key \{'id': '0004'\}"):
        store.publish("images", twice, origin("f1"), key=["id"])
    parts = [
        store.write_part("images", rows(*span), recipe="r", covers=[str(span)])
        for span in ((0, 5), (4, 9))
    ]
    with pytest.raises(StoreError, match=r"2 rows with the key \{'id': '0004'\}"):
        store.publish("images", parts, origin("f2"), key=["id"])
    assert store.publish("images", parts[:1], origin("f3"), key=["id", "value"]).rows == 5


@pytest.mark.parametrize(
    ("a", "b", "ascends"),
    [
        ([1, 1, 2], ["x", "y", "a"], True),
        ([1, 1, 2], ["y", "x", "a"], False),
        ([1, 1, 2], ["x", "x", "a"], False),
        ([1, 2, None], ["x", "x", "x"], False),
        ([1.0, math.nan, 2.0], ["x", "x", "x"], False),
        ([[1], [2], [3]], ["x", "y", "z"], False),
        ([1], ["x"], True),
    ],
)
def test_rows_ascend_if_no_key_stands_twice(a, b, ascends):
    table = pa.table({"a": a, "b": pa.array(b, pa.string())})
    chunked = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert shards.ascends(table, ["a", "b"]) is shards.ascends(chunked, ["a", "b"]) is ascends


@pytest.mark.parametrize("name", ["Images", "a/b", "", "lineage", "../x", "1"])
def test_names_are_checked(store, name):
    with pytest.raises(StoreError, match="cannot name an artifact"):
        store.publish(name, rows(0, 5), origin("f1"), key=["id"])


def test_inputs_must_exist_and_be_what_was_read(store):
    images = store.publish("images", rows(0, 5), origin("f1"), key=["id"]).as_input()
    for bad in (
        images.model_copy(update={"version": 2}),
        images.model_copy(update={"fingerprint": "x"}),
    ):
        with pytest.raises(StoreError, match=r"images@v"):
            store.publish("pairs", rows(0, 5), origin("f2", inputs=(bad,)), key=["id"])


def test_a_dataset_binds_tables(store):
    build(store, 1)
    dataset = store.manifest("dataset")
    assert [str(bound.ref) for bound in dataset.inputs] == ["images@v1", "pairs@v1"]
    assert dataset.rows == 20
    with pytest.raises(StoreError, match=r"dataset@v1 is a dataset.*images@v1, pairs@v1"):
        store.read("dataset")


def test_files_are_kept_by_content(store, tmp_path):
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"w" * 3_000_000)
    data = {"model/weights.bin": weights, "config.json": b"{}", "copy.json": b"{}"}
    manifest = store.publish_files("policy", data, origin("f1"), kind="checkpoint")
    assert len({file.path for file in manifest.files}) == 2
    folder = store.checkout("policy@v1", tmp_path / "out")
    assert (folder / "model/weights.bin").read_bytes() == weights.read_bytes()
    assert integrity.verify(store) == []
    with pytest.raises(StoreError, match="no relative path"):
        store.publish_files("policy", {"../x": b""}, origin("f2"), kind="report")
    with pytest.raises(StoreError, match="policy@v1 is a checkpoint, not a table: use checkout"):
        store.read("policy@v1")


# Faults

STEPS = [
    (files, "sync"),
    (files, "make_folder"),
    (files, "sync_folder"),
    (shards, "encode"),
    (shards, "check"),
    (files.os, "replace"),
    (files, "link"),
    (publishing, "check_key"),
    (publishing, "create"),
    (publishing, "_create_manifest"),
]


@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _, step in STEPS])
@pytest.mark.parametrize("skip", [0, 2, 5])
def test_a_fault_in_any_step_leaves_a_whole_store(store, owner, step, skip):
    build(store, 1)
    before = Store.open(store.location).read("images")

    with pytest.MonkeyPatch.context() as patch:
        real, calls = getattr(owner, step), []

        def fail(*args: object, **kwargs: object) -> object:
            calls.append(step)
            if len(calls) > skip:
                raise RuntimeError(step)
            return real(*args, **kwargs)

        patch.setattr(owner, step, fail)
        try:
            build(store, 2, photos=11)
        except RuntimeError:
            assert not store.files.find("tmp")

    survivor = Store.open(store.location)
    assert integrity.verify(survivor) == []
    if survivor.current().of("dataset").latest == 1:
        assert survivor.read("images").equals(before)
    build(survivor, 2, photos=11)
    assert survivor.read("pairs").num_rows == 11
    assert integrity.verify(survivor) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "No space left to write .*: free some and run again"),
        (errno.EACCES, "No permission to write .*: change the folder's owner or mode"),
        (errno.EDQUOT, "No space left to write .*: free some and run again"),
        (errno.EROFS, "Cannot write .*: the disk is read-only"),
        (errno.EIO, r"Cannot write .*leases/build-.* \(no\): check the disk"),
    ],
)
def test_a_disk_that_refuses_is_one_clear_sentence(store, monkeypatch, code, message):
    def refuse(handle: object) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(files, "sync", refuse)
    with pytest.raises(StoreError, match=message):
        store.publish("images", rows(0, 5), origin("f1"), key=["id"])
    assert not store.files.find("tmp")
    assert not store.files.find("shards")


def test_a_disk_without_hard_links_is_named(store, monkeypatch):
    def refuse(source: str, target: str) -> None:
        raise OSError(errno.ENOTSUP, "no")

    monkeypatch.setattr(files.os, "link", refuse)
    with pytest.raises(StoreError, match=r"has no hard links.*another disk"):
        store.publish("images", rows(0, 5), origin("f1"), key=["id"])


def test_a_shard_that_reads_back_as_something_else_is_refused(store, monkeypatch):
    encode = shards.encode
    monkeypatch.setattr(shards, "encode", lambda table, footer: encode(table.slice(1), footer))
    with pytest.raises(StoreError, match="A shard of 5 rows reads back as 4"):
        store.publish("images", rows(0, 5), origin("f1"), key=["id"])
    monkeypatch.setattr(shards, "encode", lambda table, footer: b"PAR1 nonsense")
    with pytest.raises(StoreError, match="does not read back as Parquet"):
        store.publish("images", rows(0, 5), origin("f1"), key=["id"])
    assert not store.files.find("shards")
    assert not store.files.find("tmp")


# Opening


def test_opening_says_what_is_wrong(tmp_path):
    with pytest.raises(NotFoundError, match=r"There is no store at .*: check the path"):
        Store.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a file has the name"):
        Store.open(tmp_path / "file" / "store", create=True)
    with pytest.raises(StoreError, match="without create-if-absent"):
        Store.open("http://127.0.0.1/store")
    Store.open(tmp_path / "new", create=True)
    (tmp_path / "new" / "store.json").write_text('{"format_version": 3}')
    with pytest.raises(StoreError, match="has format 3, and this program reads up to 2: install"):
        Store.open(tmp_path / "new")
    for marker in ("", "{}", "[]"):
        (tmp_path / "new" / "store.json").write_text(marker)
        with pytest.raises(StoreError, match=r'is broken: .* write \{"format_version": 2\}'):
            Store.open(tmp_path / "new")


@pytest.mark.parametrize("name", ["a::b", "~", "a#b%20", "[a]*"])
def test_a_path_is_one_folder(tmp_path, monkeypatch, name):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for location in (str(tmp_path / name), name):
        build(Store.open(location, create=True), 1)
        assert integrity.verify(Store.open(location)) == []
    assert {path.name for path in tmp_path.iterdir()} == {name, "here"}
    assert {path.name for path in (tmp_path / "here").iterdir()} == {name}


@pytest.mark.parametrize("name", ["a\\b", "a?b", os.fsdecode(b"\xff\xfe")])
def test_a_path_that_duckdb_or_arrow_cannot_open_is_refused(tmp_path, name):
    with pytest.raises(StoreError, match="put the store in"):
        Store.open(tmp_path / name, create=True)
    assert not list(tmp_path.iterdir())


def test_a_newer_manifest_is_refused(store):
    store.publish("images", rows(0, 5), origin("f1"), key=["id"])
    path = "manifests/images/v000001.json"
    data = store.files.read(path).replace(b'"format_version": 2', b'"format_version": 9')
    store.files.replace(path, data)
    with pytest.raises(StoreError, match=r"v000001\.json has format 9"):
        Store.open(store.location).manifest("images@v1")


def test_a_store_can_be_sent_to_another_process(store):
    build(store, 1)
    assert pickle.loads(pickle.dumps(store)).read("images").num_rows == 10


def test_opening_with_create_twice_keeps_everything(store):
    build(store, 1)
    assert Store.open(store.location, create=True).versions("images") == [1]

"""verify finds every fault; diff says what changed."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import documents
from storage.errors import StoreError
from storage.integrity import diff, verify
from storage.store import Store
from tests.storage.stores import build, origin, rows


def test_a_whole_store_is_clean(store, memory):
    for each in (store, memory):
        build(each, 1)
        build(each, 2)
        assert verify(each) == []


def test_every_flipped_byte_is_found(store):
    build(store, 1)
    shard = store.manifest("images").shards[0]
    data = bytearray(store.files.read(shard.path))
    for at in (5, len(data) // 2, len(data) - 1):
        broken = bytearray(data)
        broken[at] ^= 1
        store.files.replace(shard.path, bytes(broken))
        [problem] = verify(store)
        assert (problem.artifact, problem.path) == ("images@v1", shard.path)
        assert problem.message == "its bytes have changed"


def test_what_is_gone_is_found(store):
    build(store, 1)
    build(store, 2)
    store.files.remove(store.manifest("pairs@v2").shards[0].path)
    store.files.remove("manifests/images/v000002.json")
    store.files.replace("manifests/images/v000001.json", b"{")
    messages = {f"{p.artifact}: {p.message.split(':')[0]}" for p in verify(store)}
    assert messages == {
        "images@v1: its manifest cannot be read",
        "refs: images@v2 is referred to, but does not exist",
        "pairs@v1: its input images@v1 does not exist or cannot be read",
        "dataset@v1: its input images@v1 does not exist or cannot be read",
        "pairs@v2: its input images@v2 does not exist or cannot be read",
        "dataset@v2: its input images@v2 does not exist or cannot be read",
        "pairs@v2: it is gone",
    }


def test_a_changed_manifest_is_found(store):
    build(store, 1)
    manifest = store.manifest("images")
    shard = manifest.shards[0]
    for wrong, message in (
        ({"rows": 11}, "its row count is not that of its parts"),
        ({"content": "1" * 32}, "its content is not that of its parts"),
        ({"shards": (shard.model_copy(update={"rows": 9}),)}, "it has 10 rows, not 9"),
        (
            {"shards": (shard.model_copy(update={"content": "1" * 32}),)},
            "its rows have another content hash",
        ),
        ({"fingerprint": "x"}, "its input images@v1 has another fingerprint"),
    ):
        data = documents.encode(manifest.model_copy(update=wrong))
        store.files.replace("manifests/images/v000001.json", data)
        assert message in {problem.message for problem in verify(store)}


def test_one_version_is_verified_with_all_that_it_was_made_from(store):
    build(store, 1)
    build(store, 2, photos=12)
    store.files.remove(store.manifest("images@v1").shards[0].path)
    assert verify(store, "dataset@v2") == []
    assert [p.artifact for p in verify(store, "dataset@v1")] == ["images@v1"]


def test_diff_by_key(store):
    before, after = rows(0, 10), rows(2, 12)
    changed = after.to_pylist()
    changed[0]["value"] = None
    changed[1]["box"] = None
    changed[2]["tags"], changed[2]["vector"] = [{"name": "new", "score": 0.0}], None
    store.publish("images", before, origin("a"), key=["id"])
    store.publish("images", pa.Table.from_pylist(changed, after.schema), origin("b"), key=["id"])
    difference = diff(store, "images@v1", "images@v2")
    assert difference.added["id"].to_pylist() == ["0010", "0011"]
    assert difference.removed["id"].to_pylist() == ["0000", "0001"]
    assert difference.changed.to_pylist() == [
        {"id": "0002", "columns": ["value"]},
        {"id": "0004", "columns": ["tags", "vector"]},
    ], "0003 had no box before either"
    assert not difference.empty
    assert diff(store, "images@v1", "images@v1").empty


def test_diff_of_other_columns_and_types(store):
    store.publish("t", pa.table({"id": [1], "a": [1], "b": [[1.0]]}), origin("1"), key=["id"])
    wide = pa.table({"id": [1], "b": pa.array([[1.0]], pa.list_(pa.float64(), 1)), "c": [0]})
    store.publish("t", wide, origin("2"), key=["id"])
    difference = diff(store, "t@v1", "t@v2")
    assert (difference.columns_added, difference.columns_removed) == (("c",), ("a",))
    assert difference.changed.num_rows == 0
    assert not difference.empty


def test_diff_needs_tables_with_one_key(store):
    build(store, 1)
    with pytest.raises(StoreError, match="is a dataset, not a table"):
        diff(store, "dataset@v1", "dataset@v1")
    store.publish("images", rows(0, 3), origin("x"), key=["id", "value"])
    with pytest.raises(StoreError, match="can be compared only if the keys are the same"):
        diff(store, "images@v1", "images@v2")


keyed = st.dictionaries(st.integers(0, 9), st.none() | st.integers(0, 2))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keyed, keyed)
def test_diff_accounts_for_every_row(request, a, b):
    store = Store.open(f"memory://diff{abs(hash((str(a), str(b))))}", create=True)
    for tag, side in (("a", a), ("b", b)):
        table = pa.table(
            {"k": pa.array(side, pa.int64()), "v": pa.array(side.values(), pa.int64())}
        )
        store.publish(tag, table, origin("f"), key=["k"])
    difference = diff(store, "a@v1", "b@v1")
    assert difference.added["k"].to_pylist() == sorted(b.keys() - a.keys())
    assert difference.removed["k"].to_pylist() == sorted(a.keys() - b.keys())
    changed = [k for k in sorted(a.keys() & b.keys()) if a[k] != b[k]]
    assert difference.changed["k"].to_pylist() == changed


def test_an_edited_version_of_any_kind_is_found(store):
    build(store, 1)
    store.publish_files("policy", {"a.bin": b"1"}, origin("c"), kind="checkpoint")
    store.publish_files("page", {"a.html": b"2"}, origin("r"), kind="report")
    for name in ("images", "dataset", "policy", "page"):
        manifest = store.manifest(f"{name}@v1")
        path = f"manifests/{name}/v000001.json"
        whole = store.files.read(path)
        for edit in (
            {"content": "1" * 32},
            {"rows": manifest.rows + 1},
            {"settings": {"edited": True}},
        ):
            plain = json.dumps(json.loads(whole) | edit, indent=1)
            store.files.replace(path, plain.encode())
            [problem] = [p for p in verify(store) if p.path == path]
            assert problem.message.endswith("its bytes have changed since it was written")
            if "settings" not in edit:  # also if the editor writes the hash anew
                store.files.replace(path, documents.encode(manifest.model_copy(update=edit)))
                assert (
                    "of its parts" in {p.artifact: p.message for p in verify(store)}[f"{name}@v1"]
                )
        store.files.replace(path, whole)
    assert verify(store) == []


def test_a_version_without_a_hash_of_the_first_format_is_verified(store):
    build(store, 1)
    for name in store.names():
        path = f"manifests/{name}/v000001.json"
        first = json.loads(store.files.read(path)) | {"format_version": 1}
        del first["sha256"]
        store.files.replace(path, json.dumps(first).encode())
    assert verify(store) == []
    build(store, 2)
    assert verify(store) == []

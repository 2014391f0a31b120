"""The same store on S3: conditional puts instead of hard links."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import duckdb
import pyarrow as pa
import pytest

from storage.catalog import catalog
from storage.errors import NotFoundError, StoreError
from storage.gc import gc
from storage.integrity import diff, verify
from storage.store import Store
from tests.storage.stores import build, origin, rows

pytestmark = pytest.mark.slow


@pytest.fixture
def options() -> Iterator[dict[str, object]]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    s3fs = pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    storage_options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
    bucket = s3fs.S3FileSystem(**storage_options)
    bucket.mkdir("bucket")
    yield storage_options
    if bucket.exists("bucket"):  # all servers of this process have the same content
        bucket.rm("bucket", recursive=True)
    server.stop()


def test_publish_read_and_conflict(options, tmp_path):
    store = Store.open("s3://bucket/a store", create=True, storage_options=options)
    other = Store.open("s3://bucket/a store", storage_options=options)
    build(store, 1)
    build(other, 2, photos=12)
    assert store.resolve("dataset").version == 2
    assert store.read("images").equals(rows(0, 12))
    assert store.relation("images@v1").aggregate("count(*)").fetchall() == [(10,)]
    assert store.dataset("images").num_rows == 12
    assert diff(store, "images@v1", "images@v2").added.num_rows == 2

    part = store.write_part("objects", rows(0, 5), recipe="r", covers=["a"])
    assert other.parts("objects", "r") == [part]

    def publish(i: int) -> int:
        writer = (store, other)[i % 2]
        manifest = writer.publish("race", rows(0, 3), origin(str(i)), key=["id"])
        writer.commit({"race": manifest.version})
        return manifest.version

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(publish, range(12))) == list(range(1, 13))
    assert verify(store) == []

    path = catalog(store, path=tmp_path / "catalog.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.register_filesystem(store.files.fs)
        assert connection.execute("SELECT count(*) FROM images").fetchall() == [(12,)]

    assert [file.path for file in gc(store, delete=True).files] == [part.shard.path]
    assert verify(store) == []
    with pytest.raises(pa.ArrowInvalid):
        pa.parquet.read_table(pa.BufferReader(store.files.read("store.json")))


def test_an_absent_bucket_is_one_clear_sentence(options):
    with pytest.raises(NotFoundError, match="There is no store at s3://nowhere/store"):
        Store.open("s3://nowhere/store", storage_options=options)
    with pytest.raises(StoreError, match="its bucket or folder does not exist: create it"):
        Store.open("s3://nowhere/store", create=True, storage_options=options)


def test_a_bucket_that_goes_away_is_no_empty_store(options):
    store = Store.open("s3://bucket/store", create=True, storage_options=options)
    build(store, 1)
    assert store.files.find("unfinished") == {}
    store.files.fs.rm("bucket", recursive=True)
    for act in (store.files.find, lambda folder: gc(store, delete=True)):
        with pytest.raises(StoreError, match="its bucket or folder does not exist"):
            act("manifests")


def test_a_listing_that_fails_on_s3_deletes_nothing(options, monkeypatch):
    """One page of one listing, for good: s3fs has given up trying. The last has no fault."""
    store = Store.open("s3://bucket/store", create=True, storage_options=options)
    build(store, 1)
    before = store.files.find("").keys()
    store.files.replace("tmp/x", b"1")
    real = type(store.files.fs)._call_s3
    for page in (1, 2, 5, 11, 16, 23, 1000):
        pages = []

        async def call(
            self: object,
            method: str,
            *args: object,
            at: int = page,
            seen: list[int] = pages,
            **more,
        ) -> object:
            if method == "list_objects_v2":
                seen.append(1)
                if len(seen) == at:
                    raise PermissionError("Access Denied")
            return await real(self, method, *args, **more)

        with monkeypatch.context() as context, suppress(StoreError):
            context.setattr(type(store.files.fs), "_call_s3", call)
            gc(store, delete=True)
        assert before <= store.files.find("").keys()
        assert ("tmp/x" in store.files.find("tmp")) == (len(pages) >= page)
    assert 23 < len(pages) < 1000


def test_leases_on_s3(options):
    store = Store.open("s3://bucket/store", create=True, storage_options=options)
    build(store, 1)
    other = Store.open("s3://bucket/store", storage_options=options)
    store.files.replace("tmp/x", b"1")
    with other.lease():
        assert len(gc(store, delete=True).blocked_by) == 1
    store.files.replace("leases/notes.txt", b"hello")
    assert "leases/notes.txt" in str(gc(store, delete=True).blocked_by[0])
    assert gc(store, delete=True, forget_leases=["notes.txt"]).deleted
    assert not store.files.find("tmp")

"""The same store on S3: conditional puts instead of hard links."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pytest

from storage.catalog import catalog
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
    s3fs.S3FileSystem(**storage_options).mkdir("bucket")
    yield storage_options
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

"""The same store on S3: conditional puts instead of hard links."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import duckdb
import httpx
import pyarrow as pa
import pytest

from storage.catalog import catalog
from storage.errors import NotFoundError, StoreError, UnreachableError
from storage.gc import gc
from storage.integrity import diff, verify
from storage.store import Store
from tests.storage.s3_server import (
    Habit,
    S3Server,
    Terse,
    ignoring_conditions,
    refusing_conditions,
    serving,
)
from tests.storage.stores import build, origin, rows

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[S3Server]:
    with serving() as started:
        yield started


@pytest.fixture
def options(server: S3Server) -> dict[str, str]:
    return server.options


def test_publish_read_and_conflict(server, options, tmp_path):
    store = Store.open(server.store(), create=True, storage_options=options)
    other = Store.open(server.store(), storage_options=options)
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


def test_a_bucket_that_goes_away_is_no_empty_store(server, options):
    store = Store.open(server.store(), create=True, storage_options=options)
    build(store, 1)
    assert store.files.find("unfinished") == {}
    store.files.fs.rm(server.bucket, recursive=True)
    for act in (store.files.find, lambda folder: gc(store, delete=True)):
        with pytest.raises(StoreError, match="its bucket or folder does not exist"):
            act("manifests")


def test_a_listing_that_fails_on_s3_deletes_nothing(server, options, monkeypatch):
    """One page of one listing, for good: s3fs has given up trying. The last has no fault."""
    store = Store.open(server.store(), create=True, storage_options=options)
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


def test_leases_on_s3(server, options):
    store = Store.open(server.store(), create=True, storage_options=options)
    build(store, 1)
    other = Store.open(server.store(), storage_options=options)
    store.files.replace("tmp/x", b"1")
    with other.lease():
        assert len(gc(store, delete=True).blocked_by) == 1
    store.files.replace("leases/notes.txt", b"hello")
    assert "leases/notes.txt" in str(gc(store, delete=True).blocked_by[0])
    assert gc(store, delete=True, forget_leases=["notes.txt"]).deleted
    assert not store.files.find("tmp")


@pytest.mark.parametrize("habit", [ignoring_conditions, refusing_conditions])
def test_a_server_without_conditional_writes_is_refused_at_the_first_use(
    server: S3Server, habit: Habit
) -> None:
    made = Store.open(server.store(), create=True, storage_options=server.options)
    build(made, 1)
    before = made.files.find("")
    with serving(habit, server.bucket) as other:
        for name in ("a store", "another"):
            with pytest.raises(StoreError, match="If-None-Match, so two writers would overwrite"):
                Store.open(other.store(name), create=True, storage_options=other.options)
        reader = Store.open(other.store(), storage_options=other.options)
        assert reader.read("images").num_rows == 10
        with pytest.raises(StoreError, match="If-None-Match"):
            reader.tag("images", "x")
    after = made.files.find("")
    assert {path for path in after if not path.startswith("leases/")} == before.keys()


def test_other_words_for_the_same_answers(tmp_path: Path) -> None:
    habit = Terse()
    with serving(habit) as server:
        first, second = (
            Store.open(server.store(), create=True, storage_options=server.options)
            for _ in range(2)
        )
        for number in range(3):
            for writer in (first, second):
                made = writer.publish("race", rows(0, 3), origin(f"{number}"), key=["id"])
                assert made.version == number + 1
        build(first, 1)
        second.tag("dataset", "x")
        assert verify(second) == []
    assert len(habit.conflicts) > 5


def test_what_no_store_can_be_reached_by_is_a_sentence(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage import s3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    def opened(create: bool, location: str = server.store(), **changes: object) -> Store:
        return Store.open(location, create, {**server.options, **changes})

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(UnreachableError, match=f"S3 at {url} cannot be reached"):
            opened(True, endpoint_url=url)  # it refuses connections
        bound.listen()
        monkeypatch.setattr(s3, "FIRST_ANSWER", 2.0)
        with pytest.raises(UnreachableError, match=r"\(no answer\): check AWS_ENDPOINT_URL"):
            opened(False, endpoint_url=url)  # it takes them and says nothing
    with pytest.raises(StoreError, match=r"There are no credentials for S3 .*AWS_ACCESS_KEY_ID"):
        opened(True, key=None, secret=None)
    with pytest.raises(StoreError, match=r"S3 cannot be used .*Invalid bucket name.*check the loc"):
        opened(True, "s3://No_Bucket!/x")


def test_wrong_credentials_are_a_sentence(server: S3Server) -> None:
    store = Store.open(server.store(), create=True, storage_options=server.options)
    build(store, 1)
    try:
        assert httpx.post(f"{server.url}/moto-api/reset-auth", content="0").is_success
        for act in (
            lambda: Store.open(server.store("b"), True, server.options),
            lambda: Store.open(server.store(), False, server.options),
            lambda: store.tag("images", "x"),
            lambda: verify(store),
            lambda: gc(store, delete=True),
        ):
            with pytest.raises(StoreError, match=r"refuses this .*check the credentials"):
                act()
    finally:
        httpx.post(f"{server.url}/moto-api/reset-auth", content="inf")
    assert verify(store) == []

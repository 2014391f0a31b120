"""catalog.duckdb: what an analyst sees, from any folder, while builds run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from storage.catalog import Views, catalog, connect
from storage.errors import StoreError
from storage.manifest import ArtifactRef, Manifest
from storage.store import Store
from tests.duckdb_client import opened
from tests.storage.stores import SCHEMA, build, origin, rows

TESTS_IMPORTABLE = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


def ask(path: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_views_by_latest_and_by_version(store):
    build(store, 1)
    build(store, 2, photos=12)
    path = catalog(store)
    assert path == Path(store.location) / "catalog.duckdb"
    assert ask(path, "SELECT count(*), sum(value) FROM images") == [(12, 66)]
    assert ask(path, "SELECT count(*) FROM v1.images") == [(10,)]
    assert ask(path, "SELECT min(value) FROM v1.pairs UNION ALL SELECT min(value) FROM pairs") == [
        (1,),
        (2,),
    ]
    assert ask(path, "SELECT vector, tags FROM images WHERE id = '0001'") == [
        ([1.0, 1.0, 2.0], [{"name": "t1", "score": 0.5}])
    ]


def test_main_is_consistent_with_the_latest_dataset(store):
    build(store, 1)
    other = store.publish("pairs", rows(0, 3), origin("other"), key=["id"])
    captions = store.publish("captions", rows(0, 4), origin("c"), key=["id"])
    store.commit({"pairs": other.version, "captions": captions.version})
    path = catalog(store)
    assert ask(path, "SELECT count(*) FROM pairs") == [(10,)]
    assert ask(path, "SELECT count(*) FROM captions") == [(4,)]


def test_the_small_tables(store):
    build(store, 1)
    store.tag("dataset@v1", "production")
    path = catalog(store)
    assert ask(
        path,
        "SELECT ref, kind, rows, latest, tags, sources->>'$.folder.uri' FROM artifacts ORDER BY 1",
    ) == [
        ("dataset@v1", "dataset", 20, True, ["production"], None),
        ("images@v1", "table", 10, True, [], "file:///photos"),
        ("pairs@v1", "table", 10, True, [], None),
    ]
    assert ask(
        path, "SELECT name, input_kind, input_name, input_version FROM lineage ORDER BY ALL"
    ) == [
        ("dataset", "table", "images", 1),
        ("dataset", "table", "pairs", 1),
        ("images", "source", "folder", None),
        ("pairs", "model", "encoder", None),
        ("pairs", "table", "images", 1),
    ]
    files = ask(path, "SELECT path, bytes, rows FROM shards")
    assert [(Path(p).stat().st_size, 10) for p, _, _ in files] == [(b, r) for _, b, r in files]


def test_extra_views_and_comments(store):
    build(store, 1)
    build(store, 2)
    view = "SELECT p.id, p.value, i.value AS other FROM pairs p JOIN images i USING (id)"
    path = catalog(
        store,
        Views(
            {"pair_photos": view, "never": "SELECT * FROM nowhere"},
            {"pair_photos": {"other": "The other's value.", "gone": ""}},
        ),
    )
    assert ask(path, "SELECT min(value) FROM pair_photos") == [(2,)]
    assert ask(path, "SELECT min(value) FROM v1.pair_photos") == [(1,)]
    assert ask(
        path,
        "SELECT DISTINCT table_name, column_name, comment FROM duckdb_columns() "
        "WHERE comment IS NOT NULL AND schema_name = 'main' ORDER BY ALL",
    ) == [
        ("images", "id", "Names the row."),
        ("images", "value", "It's a number."),
        ("pair_photos", "other", "The other's value."),
        ("pairs", "id", "Names the row."),
        ("pairs", "value", "It's a number."),
    ]


def schemas(path: Path) -> set[str]:
    query = "SELECT DISTINCT schema_name FROM duckdb_views() WHERE schema_name LIKE 'v%'"
    return {name for (name,) in ask(path, query)}


def test_only_recent_versions_and_those_that_refs_name_have_schemas(store, monkeypatch, tmp_path):
    monkeypatch.setattr("storage.catalog.RECENT", 2)
    for number in range(1, 6):
        build(store, number, photos=10 + number)
    store.tag("dataset@v2", "production")
    path = catalog(store)
    assert schemas(path) == {"v2", "v4", "v5"}
    assert schemas(catalog(store, path=tmp_path / "all")) == {f"v{n}" for n in range(1, 6)}
    assert ask(path, "SELECT count(*) FROM artifacts WHERE name = 'dataset'") == [(5,)]
    written = path.stat().st_mtime_ns
    for guarded in (True, False):
        with connect(store, guarded=guarded, versions=[1, 5, 99]) as connection:
            query = "SELECT count(*) FROM v1.images ANTI JOIN v5.images USING (id)"
            assert connection.execute(query).fetchall() == [(0,)]
            assert connection.execute("SELECT count(*) FROM v2.images").fetchall() == [(12,)]
            with pytest.raises(duckdb.CatalogException):
                connection.execute("FROM v3.images")
    with connect(store, versions=[2, 4]) as connection:
        assert connection.execute("SELECT count(*) FROM v4.images").fetchall() == [(14,)]
    assert path.stat().st_mtime_ns == written, "a current file is used as it is"


def test_any_client_reads_any_version_by_its_files(store, monkeypatch):
    """As docs/storage.md says."""
    monkeypatch.setattr("storage.catalog.RECENT", 1)
    build(store, 1, photos=11)
    build(store, 2)
    with duckdb.connect(str(catalog(store)), read_only=True) as client:
        client.execute(
            "SET VARIABLE files = (SELECT list(path) FROM lineage JOIN shards ON "
            "(shards.name, shards.version) = (input_name, input_version) "
            "WHERE lineage.name = 'dataset' AND lineage.version = 1 AND input_name = 'images')"
        )
        query = "SELECT count(*) FROM read_parquet(getvariable('files'))"
        assert client.execute(query).fetchall() == [(11,)]


def test_what_somebody_put_into_the_file_does_not_live_on(store):
    build(store, 1)
    path = catalog(store)
    with duckdb.connect(str(path)) as here:
        here.execute("CREATE VIEW v1.mine AS SELECT 1; CREATE MACRO main.f() AS 1")
        here.execute("UPDATE artifacts SET rows = 7; DROP VIEW images")
        here.execute("CREATE VIEW images AS SELECT 'another' AS id")
    build(store, 2)
    catalog(store)
    with duckdb.connect(str(path), read_only=True) as client:
        assert client.execute("SELECT min(rows) FROM artifacts").fetchall() == [(10,)]
        assert client.execute("SELECT count(*) FROM images").fetchall() == [(10,)]
        names = "SELECT view_name FROM duckdb_views() WHERE view_name = 'mine' UNION ALL "
        names += "SELECT function_name FROM duckdb_functions() WHERE function_name = 'f'"
        assert client.execute(names).fetchall() == []


def test_an_empty_table_has_a_view_with_its_types(store):
    store.publish("quarantine", [], origin("f"), key=["id"], schema=SCHEMA)
    store.commit({"quarantine": 1})
    path = catalog(store)
    types = ask(path, "SELECT column_name, column_type FROM (DESCRIBE quarantine)")
    assert types == [
        ("id", "VARCHAR"),
        ("value", "INTEGER"),
        ("box", "FLOAT[]"),
        ("tags", 'STRUCT("name" VARCHAR, score FLOAT)[]'),
        ("vector", "FLOAT[]"),
    ]
    assert ask(path, "SELECT * FROM quarantine") == []


def test_an_empty_store_has_a_catalog(store):
    path = catalog(store)
    assert ask(path, "SELECT count(*) FROM artifacts") == [(0,)]
    assert store.files.find("tmp") == {}


def test_it_is_read_from_another_folder_and_process_while_a_build_runs(store, tmp_path):
    build(store, 1)
    path = catalog(store)
    query = "SELECT count(*) FROM images JOIN v1.pairs USING (id)"
    code = (
        "import sys\n"
        "from tests.duckdb_client import opened\n"
        "with opened(sys.argv[1]) as c:\n"
        "    print(c.execute(sys.argv[2]).fetchall())"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stop, failures = threading.Event(), []

    def keep_building() -> None:
        number = 2
        while not stop.is_set():
            try:
                build(store, number)
                catalog(store)
            except Exception as error:
                failures.append(error)
            number += 1

    thread = threading.Thread(target=keep_building)
    thread.start()
    try:
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", code, str(path), query],
                cwd=elsewhere,
                env=TESTS_IMPORTABLE,
                capture_output=True,
                text=True,
            )
            assert done.stdout == "[(10,)]\n", done.stderr
    finally:
        stop.set()
        thread.join()
    assert not failures


def test_a_client_that_opens_while_the_file_is_replaced_gets_an_error_and_no_wrong_rows(
    store, tmp_path
):
    header = 3 * 4096  # DuckDB closes the file after it, and opens it again for the blocks
    build(store, 1)
    old = catalog(store).read_bytes()
    for number in range(2, 20):
        build(store, number)
    new = catalog(store).read_bytes()
    torn = tmp_path / "torn.duckdb"
    torn.write_bytes(old[:header] + new[header:])
    with pytest.raises(duckdb.IOException):
        opened(torn)


def test_a_handle_that_was_open_before_still_works(store):
    build(store, 1)
    with duckdb.connect(str(catalog(store)), read_only=True) as before:
        build(store, 2, photos=12)
        catalog(store)
        assert before.execute("SELECT count(*) FROM images").fetchall() == [(10,)]


@pytest.mark.parametrize("left", [None, b"", b"PAR1 cut", 0.5, 0.95])
def test_a_lost_or_damaged_shard_costs_its_views_only(store, caplog, left):
    build(store, 1)
    path = store.manifest("pairs").shards[0].path
    data = store.files.read(path)
    store.files.remove(path)
    if left is not None:
        store.files.replace(path, data[: int(left * len(data))] if left in (0.5, 0.95) else left)
    assert ask(catalog(store), "SELECT count(*) FROM images") == [(10,)]
    assert "no view main.pairs, run `repic repair`" in caplog.text
    assert connect(store).execute("SELECT count(*) FROM images").fetchall() == [(10,)]


def test_a_lost_input_costs_its_views_only(store, caplog):
    build(store, 1)
    build(store, 2, photos=11)
    lost = store.manifest("images@v1").fingerprint
    store.files.remove("manifests/images/v000001.json")
    path = catalog(Store.open(store.location))
    assert ask(path, "SELECT count(*) FROM images") == [(11,)]
    assert ask(path, "SELECT count(*) FROM v1.pairs") == [(10,)]
    query = "SELECT DISTINCT input_name, input_fingerprint FROM lineage WHERE input_kind = 'lost'"
    assert ask(path, query) == [("images", lost)]
    assert "images@v1 is lost: run `repic repair`" in caplog.text
    store.files.remove("manifests/dataset/v000002.json")
    again = connect(Store.open(store.location))
    assert again.execute("SELECT count(*) FROM images").fetchall() == [(11,)]


def test_older_clients_can_read_it(store):
    build(store, 1)
    with duckdb.connect() as connection:
        connection.execute(
            f"ATTACH '{str(catalog(store)).replace(chr(39), chr(39) * 2)}' AS old (READ_ONLY)"
        )
        tags = connection.execute(
            "SELECT tags FROM duckdb_databases() WHERE database_name = 'old'"
        ).fetchall()
        assert "v1.0.0" in json.dumps(tags, default=str)
        assert connection.execute("SELECT count(*) FROM old.v1.pairs").fetchall() == [(10,)]


def test_a_store_that_is_not_local_needs_a_path(memory, tmp_path):
    build(memory, 1)
    with pytest.raises(StoreError, match="is not local: give a path for it"):
        catalog(memory)
    path = catalog(memory, path=tmp_path / "catalog.duckdb")
    assert [p.name for p in tmp_path.iterdir()] == ["catalog.duckdb"]
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.register_filesystem(memory.files.fs)
        assert connection.execute("SELECT count(*) FROM images").fetchall() == [(10,)]


def test_refs_that_move_meanwhile_are_not_lost(store, monkeypatch):
    build(store, 1)
    current, moved = Store.current, []

    def move_once(self: Store) -> object:
        snapshot = current(self)
        if not moved:
            moved.append(True)
            build(store, 2, photos=12)
        return snapshot

    monkeypatch.setattr(Store, "current", move_once)
    assert ask(catalog(store), "SELECT count(*) FROM images") == [(12,)]


def shown(store: Store, query: str = "SELECT count(*) FROM images") -> list[tuple]:
    with connect(store) as connection:
        return connection.execute(query).fetchall()


def test_the_file_says_what_it_shows(store):
    build(store, 1)
    store.tag("dataset@v1", "production")
    current = store.current()
    row = ask(catalog(store), "SELECT store, number, why, moved FROM snapshot")
    assert row == [(store.location, 2, "tag dataset@v1 production", current.created)]


def test_a_connection_shows_the_store_as_it_is_now(store):
    """As after a kill between a commit and the refresh of the file."""
    build(store, 1)
    path = catalog(store)
    build(store, 2, photos=12)
    assert ask(path, "SELECT count(*) FROM images") == [(10,)]
    assert shown(store) == [(12,)]
    assert ask(path, "SELECT count(*) FROM images") == [(12,)], "the file was written again"
    written = path.stat().st_mtime_ns
    assert shown(store) == [(12,)]
    assert path.stat().st_mtime_ns == written, "a current file is used as it is"
    assert ask(catalog(store, Views({"more": "SELECT 1 AS one"})), "FROM more") == [(1,)]
    with pytest.raises(duckdb.CatalogException):
        shown(store, "FROM more")  # the file of a program with other views


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_a_copied_or_moved_store_answers_for_itself(store, tmp_path, how):
    build(store, 1)
    catalog(store)
    other = Store.open(how(store.location, tmp_path / "another place"))
    assert shown(other, "SELECT DISTINCT path[:length(store)] = store FROM shards, snapshot") == [
        (True,)
    ]
    assert shown(other) == [(10,)]
    build(other, 2, photos=12)
    assert shown(other) == [(12,)]


def test_a_store_at_a_strange_path_answers(tmp_path):
    store = Store.open(tmp_path / "it's a [store] * 100%20 ü", create=True)
    build(store, 1)
    assert shown(store) == [(10,)]


@pytest.mark.parametrize("content", [b"garbage", b""])
def test_a_damaged_file_is_written_again(store, content):
    build(store, 1)
    path = Path(store.location, "catalog.duckdb")
    path.write_bytes(content)
    path.with_name("catalog.duckdb.wal").write_bytes(b"of another file")
    assert shown(store) == [(10,)]
    assert ask(path, "SELECT count(*) FROM images") == [(10,)]


def test_a_pipe_in_the_place_of_the_file_is_not_opened(store):
    build(store, 1)
    os.mkfifo(Path(store.location) / "catalog.duckdb")
    with connect(store) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchall() == [(10,)]


def test_a_file_that_another_program_writes_is_no_obstacle(store):
    build(store, 1)
    path = catalog(store)
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert writer.stdout.readline() == b"1\n"
        assert shown(store) == [(10,)]
    finally:
        writer.communicate(b"\n")
    with duckdb.connect(str(path)) as here:
        here.execute("SELECT 1")
        assert shown(store) == [(10,)]


def test_a_store_that_cannot_be_written_is_shown_from_memory(store, monkeypatch, tmp_path):
    build(store, 1)
    with monkeypatch.context() as read_only:
        read_only.setattr(Store, "lease", None)
        other = catalog(store, path=tmp_path / "other.duckdb")
    assert ask(other, "SELECT count(*) FROM images") == [(10,)]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert shown(store) == [(10,)]
    with pytest.raises(StoreError, match="No space left to write"):
        catalog(store)
    assert store.files.find("tmp") == {}


def test_versions_that_gc_removes_meanwhile_are_left_out(store, monkeypatch):
    build(store, 1)
    build(store, 2)
    manifest, removed = Store.manifest, []

    def remove_once(self: Store, ref: ArtifactRef) -> Manifest:
        if not removed:
            removed.append(ref)
            self.files.remove("manifests/dataset/v000001.json")
        return manifest(self, ref)

    monkeypatch.setattr(Store, "manifest", remove_once)
    with connect(Store.open(store.location), guarded=False) as connection:
        query = "SELECT ref FROM artifacts WHERE name = 'dataset'"
        assert connection.execute(query).fetchall() == [("dataset@v2",)]
        assert connection.execute("SELECT count(*) FROM images").fetchall() == [(10,)]
    assert removed == [ArtifactRef.exact("dataset", 1)], "it was listed, then removed"


def test_a_store_that_is_not_local_is_shown_from_memory(memory):
    build(memory, 1)
    assert shown(memory) == [(10,)]


@pytest.mark.slow
def test_four_readers_see_no_error_while_versions_are_published(store):
    build(store, 1, photos=11)
    path = catalog(store)
    code = (
        "import sys\n"
        "from tests.duckdb_client import opened\n"
        "asked, seen = 0, set()\n"
        "while asked < 60 or len(seen) < 5:\n"
        "    with opened(sys.argv[1]) as c:\n"
        "        (n, m), = c.execute('SELECT count(*), any_value(number) '\n"
        "            'FROM images JOIN pairs USING (id), snapshot').fetchall()\n"
        "    assert n == 10 + m % 2, (n, m)\n"
        "    asked += 1\n"
        "    seen.add(m)\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    readers = [
        subprocess.Popen(
            command,
            env=TESTS_IMPORTABLE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    number = 1
    while any(reader.poll() is None for reader in readers):
        number += 1
        build(store, number, photos=10 + number % 2)
        catalog(store)
        assert shown(store) == [(10 + number % 2,)]
    for reader in readers:
        _, errors = reader.communicate()
        assert reader.returncode == 0, errors
    assert number > 4

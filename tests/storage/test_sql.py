"""SQL of a person: it reads the tables of a store, and neither writes nor reads anything else."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import duckdb
import pytest

from storage import sql
from storage.catalog import catalog, connect
from storage.errors import QueryError
from storage.store import Store
from tests.storage.stores import build

READING = (
    ("SELECT count(*) FROM images", [(10,)]),
    ("  select 1 ;\n", [(1,)]),
    ("SELECT 1 -- a comment )", [(1,)]),
    ("SELECT 'ü;--'; -- ü; a comment", [("ü;--",)]),
    ("-- first\nSELECT 1 /* ; */ ;; /* last */", [(1,)]),
    ("FROM v1.pairs SELECT min(value)", [(1,)]),
    ("WITH t AS (SELECT 1 AS a), u AS (FROM t) FROM u", [(1,)]),
    ("WITH RECURSIVE t AS (SELECT 1 a UNION ALL SELECT a + 1 FROM t WHERE a < 3) FROM t",
     [(1,), (2,), (3,)]),
    ("SELECT id FROM images ORDER BY value DESC LIMIT 2", [("0009",), ("0008",)]),
    ("PIVOT (SELECT value % 2 AS odd FROM images) ON odd IN (0, 1) USING count(*)", [(5, 5)]),
    ("SELECT unnest([1, 2])", [(1,), (2,)]),
    ("SELECT count(*) FROM range(7)", [(7,)]),
    ("VALUES (1), (2)", [(1,), (2,)]),
    ("SELECT column_name FROM (DESCRIBE images) LIMIT 1", [("id",)]),
)  # fmt: skip
WRITING = (
    "COPY images TO '{file}'",
    "COPY (SELECT 1) TO '{shard}' (FORMAT parquet, USE_TMP_FILE false)",
    "WITH t AS (COPY (SELECT 9 a) TO '{shard}' (FORMAT parquet, USE_TMP_FILE false)) FROM t",
    "SELECT * FROM (WITH t AS (COPY (SELECT 9 a) TO '{shard}' (USE_TMP_FILE false)) FROM t)",
    "WITH t AS (COPY (SELECT 9 a) TO '{shard}' (FORMAT parquet, USE_TMP_FILE false)) "
    "PIVOT images ON id USING count(*)",
    "WITH t AS (COPY (SELECT 9 a) TO '{shard}' (FORMAT parquet, USE_TMP_FILE false)) "
    "PIVOT images ON id IN (1) USING count(*)",
    "COPY (PIVOT images ON id) TO '{shard}' (FORMAT parquet, USE_TMP_FILE false)",
    "FROM json_execute_serialized_sql(json_serialize_sql($$WITH t AS (COPY (SELECT 9 a) "
    "TO '{shard}' (FORMAT parquet, USE_TMP_FILE false)) FROM t$$))",
    "FROM query($$WITH t AS (COPY (SELECT 9 a) TO '{shard}' (USE_TMP_FILE false)) FROM t$$)",
    "PRAGMA json_execute_serialized_sql('{{}}')",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{shard}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{shard}' (FORMAT parquet, USE_TMP_FILE false)",
    "EXPLAIN ANALYZE WITH t AS (COPY (SELECT 9 a) TO '{shard}' (USE_TMP_FILE false)) FROM t",
    "SUMMARIZE WITH t AS (COPY (SELECT 9 a) TO '{shard}' (USE_TMP_FILE false)) FROM t",
    "SELECT 1; COPY images TO '{file}'",
    "SELECT 1) TO '{file}'; COPY (SELECT 2",
    "EXPORT DATABASE '{file}.d'",
    "ATTACH '{file}.duckdb' AS other",
    "CREATE TABLE memory.main.mine AS SELECT 1",
    "CREATE TEMP TABLE mine AS PIVOT images ON id",
    "WITH t AS (INSERT INTO artifacts SELECT * FROM artifacts RETURNING *) FROM t",
    "DROP VIEW images",
    "SET allowed_paths = ['/']",
    "SET enable_external_access = true",
    "PRAGMA enable_profiling = 'json'",
    "FROM enable_logging(storage = 'file', storage_path = '{file}')",
    "CALL enable_logging(storage_path = '{file}')",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CHECKPOINT",
    "CREATE SECRET (TYPE s3)",
    "USE memory.main",
    "",
    "EXPLAIN",
)
READING_ELSEWHERE = (
    "FROM read_csv('/etc/passwd')",
    "FROM system.main.READ_TEXT('/etc/passwd')",
    "SELECT (SELECT count(*) FROM read_blob('/etc/passwd'))",
    "FROM images, LATERAL read_text('/etc/passwd')",
    "FROM '/etc/passwd'",
    "FROM '{file}.csv'",
    "FROM query_table('/etc/passwd')",
    "FROM glob('/*')",
    "FROM read_parquet('{file}')",
    "FROM read_parquet('{folder}/shards/*/*.parquet')",
    "FROM parquet_metadata('/etc/passwd')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM read_duckdb('{folder}/catalog.duckdb')",
    "DESCRIBE FROM read_csv('/etc/passwd')",
    "SELECT list_transform([1], x -> (SELECT count(*) FROM read_csv('/etc/passwd')))",
    "SELECT getenv('HOME')",
    "FROM duckdb_secrets()",
    "FROM a_python_variable",
)


def hashes(folder: str | Path) -> dict[str, str]:
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def built(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    build(store, 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return store


def filled(query: str, store: Store) -> str:
    paths = {
        "file": f"{store.location}/refs/000001.json",
        "shard": store.files.url(store.manifest("images").shards[0].path),
        "folder": store.location,
    }
    return query.format(**{name: path.replace("'", "''") for name, path in paths.items()})


def test_statements_that_read_are_answered(built):
    with connect(built) as connection:
        for query, rows in READING:
            assert sql.ask(connection, query).fetchall() == rows, query
        for query in ("SHOW TABLES", "SHOW ALL TABLES", "DESCRIBE images", "SUMMARIZE images"):
            assert sql.ask(connection, query).fetchall(), query
        for explain in ("EXPLAIN", "explain analyze", "EXPLAIN (FORMAT json)"):
            (plan,) = sql.ask(connection, f"{explain} SELECT count(*) FROM images").fetchall()
            assert "plan" in plan[0]


def test_nothing_is_written(built):
    with connect(built) as connection:
        before = hashes(Path(built.location).parent)
        for query in WRITING:
            with pytest.raises(QueryError):
                sql.ask(connection, filled(query, built)).fetchall()
            assert hashes(Path(built.location).parent) == before, query
            assert sql.ask(connection, "SELECT count(*) FROM images").fetchall() == [(10,)]


def test_nothing_else_is_read(built):
    a_python_variable = built.read("images")
    with connect(built) as connection:
        for query in READING_ELSEWHERE:
            with pytest.raises((QueryError, duckdb.PermissionException)):
                sql.ask(connection, filled(query, built)).fetchall()
    assert a_python_variable.num_rows == 10


def test_an_error_is_a_sentence_with_the_remedy(built):
    with connect(built) as connection:
        for query, words in (
            (
                "COPY images TO 'x'",
                "only reads, and this is COPY: write one SELECT",
            ),
            ("SELECT 1; SELECT 2", "this is 2 statements: write one SELECT"),
            ("FROM read_csv('/etc/passwd')", "not read_csv: name a table that SHOW ALL TABLES"),
            ("FROM read_parquet('/x')", "only the tables of the store .*/x.*repic sql --unsafe"),
            ("PIVOT images ON id", r"PIVOT that does not list its values as ON column IN"),
            ("SELECT * FROM imges", 'Did you mean "images"'),
            ("SELEC", "syntax error"),
            ("SELECT \udcff", r"A query is text in UTF-8, not '\\udcff'"),
        ):
            with pytest.raises(QueryError, match=words):
                sql.ask(connection, query)


def test_what_is_said_of_a_missing_shard(built):
    with connect(built) as connection:
        relation = sql.ask(connection, "FROM images")
        built.files.remove(built.manifest("images").shards[0].path)
        with pytest.raises(duckdb.Error) as raised:
            relation.fetchall()
        assert "run `repic repair`" in str(sql.explained(raised.value))


def test_equal_column_names_are_numbered(built):
    with connect(built) as connection:
        relation = sql.ask(connection, "SELECT a.id, b.id FROM images a JOIN pairs b USING (id)")
        assert relation.columns == ["id", "id_1"]


def test_a_large_sort_leaves_no_temporary_files(built, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sql, "MEMORY_LIMIT", "60MB")
    with connect(built) as connection:
        query = "SELECT range AS a, hash(range)::VARCHAR b FROM range(2_000_000) ORDER BY b"
        assert len(sql.ask(connection, query).limit(3, offset=1_999_990).fetchall()) == 3
    assert not list(tmp_path.glob("duckdb-*"))


def test_the_guard_holds_on_another_file_system(memory):
    build(memory, 1)
    before = {path: memory.files.read(path) for path in memory.files.find("")}
    with connect(memory) as connection:
        assert sql.ask(connection, "SELECT count(*) FROM images").fetchall() == [(10,)]
        for query in WRITING:
            with pytest.raises(QueryError):
                sql.ask(connection, filled(query, memory)).fetchall()
        with pytest.raises(QueryError, match="only the tables of the store"):
            sql.ask(connection, "FROM read_parquet('memory:///other.parquet')")
    assert {path: memory.files.read(path) for path in memory.files.find("")} == before


def test_a_catalog_that_was_tampered_with_opens_no_other_file(built):
    path = Path(built.location, "catalog.duckdb")
    connect(built).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE VIEW secret AS FROM read_text('/etc/passwd')")
        for other in ("/etc/passwd", f"{built.location}/shards/../store.json"):
            connection.execute("INSERT INTO shards (path) VALUES (?)", [other])
    beyond = filled("FROM read_parquet('{folder}/shards/../store.json')", built)
    with connect(built) as connection:
        for query in ("FROM secret", beyond):
            with pytest.raises(QueryError, match="only the tables of the store"):
                sql.ask(connection, query).fetchall()


EVIL = (
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql($$WITH t AS "
    "(COPY (SELECT 9 a) TO '{file}' (FORMAT csv, USE_TMP_FILE false)) SELECT 9 AS {column}$$))"
)


def test_views_that_a_stranger_put_into_the_catalog_write_nothing(built, tmp_path):
    target = tmp_path / "written"
    for name in ("snapshot", "shards"):
        catalog(built)
        with duckdb.connect(f"{built.location}/catalog.duckdb") as edited:
            edited.execute(f"ALTER TABLE {name} RENAME TO former")
            cells = f"FROM former, ({EVIL.format(file=target, column='evil')})"
            edited.execute(f"CREATE VIEW {name} AS SELECT former.* {cells}")
        for guarded in (True, False):
            with connect(built, guarded=guarded) as connection:
                assert sql.ask(connection, "SELECT count(*) FROM images").fetchall() == [(10,)]
        assert not target.exists(), name


def test_a_linked_shard_is_read_and_leads_no_view_outside(tmp_path):
    store = Store.open(str(tmp_path / "store"), create=True)
    build(store, 1)
    shard = Path(store.files.url(store.manifest("images").shards[0].path))
    outside = shard.rename(tmp_path / "outside.parquet")
    shard.symlink_to(outside)
    catalog(store)
    with duckdb.connect(f"{store.location}/catalog.duckdb") as edited:
        edited.execute(f"CREATE OR REPLACE VIEW pairs AS {EVIL.format(file=shard, column='a')}")
    before = hashlib.sha256(outside.read_bytes()).digest()
    with connect(store) as connection:
        for table in ("images", "pairs"):
            query = f"SELECT count(*) FROM {table}"
            assert sql.ask(connection, query).fetchall() == [(10,)]
    assert hashlib.sha256(outside.read_bytes()).digest() == before

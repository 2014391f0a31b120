"""SQL: results, limits, and attempts to do more than read."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from repic.studio import sql_process
from repic.studio.pages.sql import ready_queries
from repic.studio.sql_process import StudioQueryError
from storage.errors import StoreError
from storage.store import Store
from tests.builds import Built
from tests.test_docs import QUERIES


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to start a process."""
    monkeypatch.setattr(sql_process, "SECONDS", 300)


@pytest.fixture(scope="module")
def location(built: Built, tmp_path_factory: pytest.TempPathFactory) -> str:
    return built.copy(tmp_path_factory.mktemp("sql") / "store").location


def test_a_result_on_the_page_and_as_files(browser: TestClient, store: Store) -> None:
    query = """select objective, count(*) as n, '<script>x' as attack, [1, 2] as list
        from examples group by all order by all"""
    counts: dict[str, int] = {}
    for row in store.read("examples@latest", ["objective"]).to_pylist():
        counts[row["objective"]] = counts.get(row["objective"], 0) + 1
    text = browser.post("/sql", data={"q": query}).text
    assert "3 rows" in text
    assert "<td>&lt;script&gt;x</td>" in text
    assert all(f"<td>{name}</td><td>{n}</td>" in text for name, n in counts.items())
    reply = browser.post("/sql/result.csv", data={"q": query})
    assert "attachment" in reply.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert {row["objective"]: int(row["n"]) for row in rows} == counts
    assert rows[0]["list"] == "[1, 2]"
    reply = browser.post("/sql/result.parquet", data={"q": query})
    assert pq.read_table(pa.BufferReader(reply.content))["n"].to_pylist() == [
        counts[name] for name in sorted(counts)
    ]


ATTEMPTS = (
    "COPY images TO '{out}'",
    "WITH t AS (COPY images TO '{out}') SELECT 1",
    "ATTACH '{out}' AS other",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT content FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SET enable_external_access = true",
    "SET lock_configuration = false; SELECT 1",
    "PRAGMA enable_external_access",
    "RESET allowed_paths",
    "CREATE MACRO leak() AS TABLE SELECT * FROM read_text('/etc/passwd')",
    "CREATE TABLE t AS SELECT 1",
    "INSTALL httpfs",
    "LOAD httpfs",
    "EXPORT DATABASE '{out}'",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT getenv('HOME')",
    "SELECT 1) TO '{out}' --",
    "DROP VIEW examples",
    "DELETE FROM examples",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
    "",
)


@pytest.mark.parametrize("query", ATTEMPTS)
def test_a_query_only_reads_the_tables(location: str, tmp_path: Path, query: str) -> None:
    target = tmp_path / "out.csv"
    with pytest.raises(StoreError):
        sql_process.answer(location, query.format(out=target), 5)
    assert not target.exists()


def test_a_refusal_is_a_sentence_on_the_page(browser: TestClient) -> None:
    reply = browser.post("/sql", data={"q": "copy images to '/tmp/<b>x'"})
    assert reply.status_code == 422
    (sentence,) = re.findall(r'role="alert">([^<]+)<', reply.text)
    assert "A query only reads" in html.unescape(sentence)
    assert browser.post("/sql/result.exe", data={"q": "select 1"}).status_code == 422


def test_rows_bytes_and_time_are_limited(location: str) -> None:
    found = sql_process.run(location, "from range(10)", rows=4)
    assert (found.rows.num_rows, found.more) == (4, True)
    assert not sql_process.run(location, "from range(4)", rows=4).more
    endless = "select sum(a.range) from range(1e6) a, range(1e6) b"
    with pytest.raises(StudioQueryError, match=r"took more than 0\.5 s"):
        sql_process.run(location, endless, seconds=0.5)
    with pytest.raises(StudioQueryError, match="at most 50,000 characters"):
        sql_process.run(location, f"select '{'x' * 60_000}'")


def test_a_large_result_is_cut(location: str) -> None:
    wide = "select repeat('x', 1000000) as x from range(200)"
    rows, more = sql_process.answer(location, wide, 500)
    assert more
    assert 0 < rows.nbytes <= sql_process.BYTES
    with pytest.raises(StoreError, match="A row has more than 64 MB"):
        sql_process.answer(location, "select repeat('x', 100_000_000) as x", 5)


def test_the_process_takes_no_more_memory_than_it_may(location: str) -> None:
    with pytest.raises(StudioQueryError, match="Out of Memory"):
        sql_process.run(location, "select repeat('x', 5000000) from range(20000)")


def test_the_queries_of_the_docs_are_ready(browser: TestClient) -> None:
    wanted = {question: query.strip() for question, query in QUERIES.items()}
    assert ready_queries() == wanted, "write repic/studio/queries.sql again from docs/sql.md"
    text = browser.get("/sql").text
    assert all(html.escape(question) in text.replace("&#34;", "&quot;") for question in wanted)


def test_the_schema_is_beside_the_editor(browser: TestClient) -> None:
    text = browser.get("/sql").text
    assert "<summary><code>pairs</code></summary>" in text
    assert "<code>percentile</code>" in text
    linked = browser.get("/sql", params={"q": "select '</textarea><script>x'"}).text
    assert "&lt;/textarea&gt;&lt;script&gt;x" in linked


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("select date '100000-01-01' as x", "csv"),
        ("select [timestamp 'infinity'] as x", "csv"),
        ("select interval '1 month' as x", "parquet"),
    ],
)
def test_values_that_cannot_be_given_are_a_sentence(
    browser: TestClient, query: str, kind: str
) -> None:
    replies = [browser.post(f"/sql/result.{kind}", data={"q": query})]
    if kind == "csv":
        replies.append(browser.post("/sql", data={"q": query}))
    for reply in replies:
        assert reply.status_code == 422
        assert "cast the column to text" in reply.text


def test_modules_are_not_taken_from_the_folder_of_the_studio(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "duckdb.py").write_text("raise SystemExit('from a folder of photos')")
    monkeypatch.chdir(tmp_path)
    assert sql_process.run(location, "select 1").rows.num_rows == 1

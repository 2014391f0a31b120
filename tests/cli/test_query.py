"""sql, catalog, schema, quarantine, doctor."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from flows.local.access import api_url
from repic.models import shipped
from repic.pipeline import doctor
from repic.tables import TABLES
from storage.store import Store
from tests.builds import PHOTOS, Built
from tests.ports import free_port

Main = Callable[..., tuple[int, str, str]]
VIEWS = (
    *("images", "objects", "pairs", "examples", "quarantine", "artifacts", "lineage"),
    *("pair_photos", "groups", "embeddings", "detections", "probes", "shards", "snapshot"),
)
PAIR_PHOTOS = (
    *("pair_id", "kind", "origin", "band", "similarity", "percentile", "split"),
    *("anchor_uri", "other_uri"),
)
COUNTS = "select objective, split, count(*) as n from examples group by all order by all"


@pytest.fixture(scope="module")
def store(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return built.copy(tmp_path_factory.mktemp("query") / "a store's")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_can_be_asked(view: str, store: Store, repic_main: Main) -> None:
    code, out, err = repic_main(
        "sql", f"select count(*) as n from {view}", "--format=json", f"--store={store.location}"
    )
    assert code == 0, err
    (row,) = json.loads(out)
    assert row["n"] > 0 or view == "quarantine"


def test_pair_photos_has_the_promised_columns(store: Store, repic_main: Main) -> None:
    code, out, _ = repic_main(
        *("sql", "select * from pair_photos limit 1", "--format=json"),
        f"--store={store.location}",
    )
    assert code == 0
    (row,) = json.loads(out)
    assert tuple(row) == PAIR_PHOTOS
    code, out, _ = repic_main(
        *("sql", "select (select count(*) from pairs) - (select count(*) from v1.pair_photos) n"),
        *("--format=csv", f"--store={store.location}"),
    )
    assert out.split() == ["n", "0"]


def test_the_formats_agree(store: Store, tmp_path: Path, repic_main: Main) -> None:
    at = f"--store={store.location}"
    _, out, _ = repic_main("sql", COUNTS, "--format=json", at)
    as_json = json.loads(out)
    assert {row["objective"] for row in as_json} == {"oct", "vlt", "ict"}
    assert sum(row["n"] for row in as_json) == store.manifest("examples@latest").rows
    _, out, _ = repic_main("sql", COUNTS, "--format=csv", at)
    as_csv = list(csv.DictReader(io.StringIO(out)))
    assert [{**row, "n": int(row["n"])} for row in as_csv] == as_json
    path = tmp_path / "counts.parquet"
    code, out, _ = repic_main("sql", COUNTS, "--format=parquet", f"--out={path}", at)
    assert (code, out) == (0, "")
    assert pq.read_table(path).to_pylist() == as_json
    _, out, _ = repic_main("sql", COUNTS, at)
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert lines[0] == ["objective", "split", "n"]
    assert lines[2:] == [[str(value) for value in row.values()] for row in as_json]
    path = tmp_path / "counts.csv"
    repic_main("sql", COUNTS, "--format=csv", f"--out={path}", at)
    assert list(csv.DictReader(path.open())) == as_csv


def test_nested_values_survive(store: Store, repic_main: Main) -> None:
    query = "select prompt, images from examples order by example_id limit 1"
    at = f"--store={store.location}"
    _, out, _ = repic_main("sql", query, "--format=csv", at)
    (from_csv,) = csv.DictReader(io.StringIO(out))
    _, out, _ = repic_main("sql", query, "--format=json", at)
    (from_json,) = json.loads(out)
    assert json.loads(from_csv["prompt"]) == from_json["prompt"]
    assert from_json["images"][-1]["role"] == "query"


def test_a_long_table_says_what_it_leaves_out(store: Store, repic_main: Main) -> None:
    code, out, err = repic_main(
        "sql", "select range as number from range(130)", f"--store={store.location}"
    )
    assert code == 0
    assert "30 more rows" in err
    assert len(out.splitlines()) < 110


def test_a_moved_store_answers_for_itself(
    built: Built, tmp_path: Path, repic_main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = built.copy(tmp_path / "here")
    repic_main("catalog", f"--store={store.location}")
    shutil.move(tmp_path / "here", tmp_path / "there")
    at = f"--store={tmp_path / 'there'}"
    monkeypatch.chdir("/")
    code, out, err = repic_main("sql", "select count(*) as n from images", "--format=csv", at)
    assert (code, out.split()) == (0, ["n", str(PHOTOS)]), err
    with duckdb.connect(str(tmp_path / "there" / "catalog.duckdb"), read_only=True) as plain:
        assert plain.execute("select count(*) from images").fetchall() == [(PHOTOS,)]
        assert plain.execute("select store from snapshot").fetchall() == [
            (str(tmp_path / "there"),)
        ]
    code, out, _ = repic_main("catalog", at)
    assert code == 0
    assert "there/catalog.duckdb" in "".join(out.split("\n"))
    other = tmp_path / "elsewhere.duckdb"
    assert repic_main("catalog", f"--out={other}", at)[0] == 0
    assert other.exists()


def test_a_query_neither_writes_nor_reads_files(
    store: Store, tmp_path: Path, repic_main: Main
) -> None:
    at = f"--store={store.location}"
    target = tmp_path / "stolen.csv"
    for query in (f"copy images to '{target}'", "from read_csv('/etc/passwd')"):
        code, out, err = repic_main("sql", query, at)
        assert (code, out) == (2, "")
        assert "--unsafe" in err
        assert len(err.splitlines()) == 1
    assert not target.exists()
    assert repic_main("sql", f"copy images to '{target}'", "--unsafe", at)[0] == 0
    assert target.exists()
    code, out, _ = repic_main("sql", f"select count(*) n from '{target}'", "--unsafe", at)
    assert str(PHOTOS) in out
    code, _, err = repic_main("sql", "select nope from images", "--unsafe", at)
    assert code == 2
    assert "nope" in err


def test_values_are_printed_as_they_are(store: Store, repic_main: Main) -> None:
    query = "select 'a :dog: [draft] [/b]' as x"
    code, out, err = repic_main("sql", query, f"--store={store.location}")
    assert code == 0, err
    assert "a :dog: [draft] [/b]" in out


def test_sources_are_tables_without_a_head(repic_main: Main) -> None:
    code, out, _ = repic_main("sources")
    assert code == 0
    assert "─" not in out
    assert re.search(r"^folder\n\s+path +a folder or URL", out, re.MULTILINE)


def test_a_type_that_parquet_lacks_is_named(store: Store, tmp_path: Path, repic_main: Main) -> None:
    path = tmp_path / "out.parquet"
    query = "select interval 1 month as wait"
    code, _, err = repic_main(
        "sql", query, "--format=parquet", f"--out={path}", f"--store={store.location}"
    )
    assert code == 2
    assert "cast it" in err
    assert not path.exists()


def test_a_query_that_fails_half_way_leaves_no_file(
    store: Store, tmp_path: Path, repic_main: Main
) -> None:
    path = tmp_path / "out.parquet"
    query = "select case when i > 3000 then error('boom') else i end as x from range(5000) t(i)"
    code, _, err = repic_main(
        "sql", query, "--format=parquet", f"--out={path}", f"--store={store.location}"
    )
    assert code == 2
    assert "boom" in err
    assert not path.exists()


def test_json_is_what_others_read(store: Store, repic_main: Main) -> None:
    query = "select 'nan'::double as x, ['inf'::double, 1.5] as y, map {date '2026-12-01': 1} as m"
    _, out, _ = repic_main("sql", query, "--format=json", f"--store={store.location}")
    assert json.loads(out) == [{"x": None, "y": [None, 1.5], "m": {"2026-12-01": 1}}]


def test_only_quarantines_are_listed_as_such(store: Store, repic_main: Main) -> None:
    code, _, err = repic_main("quarantine", "--of=images@v1", f"--store={store.location}")
    assert code == 2
    assert "images@v1 is no quarantine" in err
    code, _, err = repic_main("log", "images@v1", f"--store={store.location}")
    assert code == 2
    assert "give 'images'" in err


def test_a_store_without_versions_says_so(tmp_path: Path, repic_main: Main) -> None:
    Store.open(tmp_path, create=True)
    code, _, err = repic_main("sql", "select count(*) from images", f"--store={tmp_path}")
    assert code == 2
    assert "Nothing is published yet" in err
    assert "repic status" in err
    assert repic_main("sql", "select count(*) from artifacts", f"--store={tmp_path}")[0] == 0


def test_schema_documents_every_column(repic_main: Main) -> None:
    code, out, _ = repic_main("schema")
    assert code == 0
    flat = " ".join(out.split())
    for table in TABLES.values():
        assert f"{table.name}: " in out
        for column in table.columns:
            assert column.name in flat
    assert "pair_photos" in out
    _, out, _ = repic_main("schema", "--json")
    tables = json.loads(out)
    assert tables.keys() == TABLES.keys()
    for name, table in tables.items():
        assert [c["name"] for c in table["columns"]] == [c.name for c in TABLES[name].columns]
        assert all(c["doc"] and c["type"] for c in table["columns"])
    _, out, _ = repic_main("schema", "pairs", "--json")
    assert json.loads(out).keys() == {"pairs"}


def test_the_views_carry_the_documentation(store: Store, repic_main: Main) -> None:
    query = (
        "select table_name as t, column_name as c, comment from duckdb_columns() "
        "where schema_name = 'main' and comment is not null"
    )
    _, out, _ = repic_main("sql", query, "--format=json", f"--store={store.location}")
    comments = {(row["t"], row["c"]): row["comment"] for row in json.loads(out)}
    for name in ("images", "pairs", "examples"):
        for column in TABLES[name].columns:
            assert comments[name, column.name] == column.doc
    for column in PAIR_PHOTOS:
        assert comments["pair_photos", column]


def test_an_empty_quarantine_says_so(store: Store, repic_main: Main) -> None:
    code, out, _ = repic_main("quarantine", f"--store={store.location}")
    assert (code, out) == (0, "Nothing is in quarantine.\n")
    code, out, _ = repic_main("quarantine", "--json", f"--store={store.location}")
    assert json.loads(out) == []


def test_doctor_looks_at_everything(store: Store, tmp_path: Path, repic_main: Main) -> None:
    code, out, _ = repic_main("doctor", "--json", f"--store={store.location}")
    findings = {f["subject"]: f for f in json.loads(out)}
    assert findings.keys() >= {
        *("python", "torch", "disk", "store", "device", "prefect server", "photos model"),
        *("sample detector", "sample encoder", "sample-base", "sample-full"),
    }
    assert "1 dataset versions" in findings["store"]["found"]
    errors = [f for f in findings.values() if f["level"] == "error"]
    assert code == bool(errors)
    assert all(f["remedy"] for f in findings.values() if f["level"] != "ok")
    (tmp_path / "file").write_text("in the way")
    code, out, _ = repic_main("doctor", "--json", f"--store={tmp_path / 'file'}")
    assert code == 1
    assert [f["subject"] for f in json.loads(out) if f["level"] == "error"] == ["store"]
    code, out, err = repic_main("doctor", f"--store={tmp_path / 'new' / 'store'}")
    assert code == 0, err
    assert "photos model" in out
    assert not (tmp_path / "new").exists()


def _store_finding(location: Path) -> doctor.Finding:
    return next(f for f in doctor.examine(str(location), None) if f.subject == "store")


def test_doctor_tells_a_broken_store_from_none(tmp_path: Path) -> None:
    assert _store_finding(tmp_path).level == "note"
    for marker in ("{", "{}", "[]", '{"format_version": 99}'):
        (tmp_path / "store.json").write_text(marker)
        finding = _store_finding(tmp_path)
        assert finding.level == "error", marker
        assert finding.remedy


def test_doctor_may_not_look_everywhere(tmp_path: Path) -> None:
    (tmp_path / "shut" / "store").mkdir(parents=True)
    (tmp_path / "shut").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root can read everything
    try:
        assert _store_finding(tmp_path / "shut" / "store").level == "error"
    finally:
        os.seteuid(user)
        (tmp_path / "shut").chmod(0o700)


def test_doctor_misses_the_shipped_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "folder", lambda: tmp_path)
    findings = [f for f in doctor.examine(str(tmp_path), None) if f.subject.startswith("sample")]
    assert len(findings) == 4
    assert all(f.level == "error" and "install repic" in f.remedy for f in findings)


def test_doctor_asks_the_server_that_prefect_is_set_to(tmp_path: Path, repic_main: Main) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    url = api_url(free_port())
    with temporary_settings({PREFECT_API_URL: url}):  # as a Prefect profile sets it
        _, out, _ = repic_main("doctor", "--json", f"--store={tmp_path}")
    (finding,) = (f for f in json.loads(out) if f["subject"] == "prefect server")
    assert finding["level"] == "note"
    assert finding["found"] == f"none answers at {url}"
    assert "repic up" in finding["remedy"]
    assert doctor.examine(str(tmp_path), (url, True))[-1].level == "ok"
    assert doctor.examine(str(tmp_path), None)[-1].found == "none is configured"

"""Photos that a query lists, and what a query cannot do."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from repic import config, sources
from repic.errors import SourceError
from repic.sources.base import RefusedPhoto, SourcePhoto


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A Parquet file that names photos beside it."""
    for name in ("a", "b"):
        Image.new("RGB", (30, 20), "red").save(tmp_path / f"{name}.png")
    rows = {
        "file": ["a.png", "a.png", "b.png", "../secret.png", None],
        "who": ["rex", "ann", "rex", "rex", "rex"],
        "kind": ["dog", "red_mug", "dog", "dog", "dog"],
        "x": [1.0, 10.0, None, 1.0, 1.0],
        "text": ["two things", None, "one dog", None, None],
    }
    path = tmp_path / "photos of all.parquet"
    pq.write_table(pa.table(rows), path)
    return path


def _photos(query: str, **chosen: object) -> list[SourcePhoto]:
    given = {"kind": "sql", "path": query, "identity": "annotation", **chosen}
    return list(sources.photos(config.SourceSettings.model_validate(given), config.SplitSettings()))


def test_rows_of_a_query_are_photos_and_objects(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    query = f"""
        SELECT file AS uri, who AS identity, kind AS label, text AS caption, 'CC0' AS licence,
               x AS x1, x AS y1, x + 5 AS x2, x + 8 AS y2
        FROM read_parquet('{table}');"""
    with caplog.at_level(logging.WARNING):
        listed = _photos(query)
    first, second = (p for p in listed if not isinstance(p, RefusedPhoto))
    boxes = [(a.box.as_list(), a.label, a.identity) for a in first.annotations]
    assert boxes == [([1, 1, 6, 9], "dog", "rex"), ([10, 10, 15, 18], "red mug", "ann")]
    assert (first.identity, first.caption, first.licence) == (None, "two things", "CC0")
    assert (second.identity, second.label, second.annotations) == ("rex", "dog", ())
    assert [Path(p.uri).name for p in listed if isinstance(p, RefusedPhoto)] == ["secret.png"]
    assert "skipped 1 rows without a usable uri" in caplog.text


@pytest.mark.parametrize(
    "source", ["'{path}'", "read_parquet(['{path}'])", "read_parquet('{folder}/*.parquet')"]
)
def test_files_are_named_in_several_ways(table: Path, source: str) -> None:
    read = source.format(path=table, folder=table.parent)
    query = f"WITH t AS (FROM {read}) SELECT file AS uri, [1, 2, 3, 4] AS box FROM t LIMIT 1"
    (photo,) = _photos(query)
    assert photo.annotations[0].box.as_list() == [1, 2, 3, 4]


def test_relative_files_and_another_folder_of_photos(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table.parent)
    query = "SELECT file AS uri FROM 'photos of all.parquet' WHERE file = 'a.png'"
    (photo,) = _photos(query)
    assert photo.uri == (table.parent / "a.png").as_uri()
    (photo,) = _photos(query, images="/elsewhere")
    assert photo.uri == "file:///elsewhere/a.png"


def test_a_query_gives_splits(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    choose = "CASE x WHEN 1 THEN 'val' WHEN 10 THEN 'testA' ELSE 'holiday' END"
    query = f"SELECT file AS uri, {choose} AS split FROM '{table}' WHERE file IN ('a.png', 'b.png')"
    with caplog.at_level(logging.WARNING):
        assert [p.split for p in _photos(query)] == ["test", None]
    assert "skipped 1 splits of an unknown name" in caplog.text


def test_malformed_boxes_are_counted(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    for box in ("[1, 2, 3]", "[5, 5, 1, 1]", "[1, 2, 3, 'nan'::DOUBLE]", "'1 2 3 4'", "{'a': 1}"):
        with caplog.at_level(logging.WARNING):
            (photo,) = _photos(f"SELECT 'a.png' AS uri, {box} AS box FROM '{table}' LIMIT 1")
        assert photo.annotations == ()
        assert "skipped 1 boxes that are malformed" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT file AS uri, who FROM '{path}'", "a column who; known are uri, identity"),
        ("SELECT who AS identity FROM '{path}'", "no column uri"),
        ("SELECT file AS uri, 1 AS x1 FROM '{path}'", "only x1 of a box"),
        ("SELECT file AS uri FROM '{path}x.parquet'", "There is no file .*x.parquet"),
        ("SELEC", "syntax error"),
        ("", "no statement"),
        ("SELECT 1 AS uri; SELECT 2", "2 statements"),
        ("COPY (SELECT 1) TO '{folder}/out.csv'", "this is COPY"),
        ("WITH t AS (COPY (SELECT 1) TO '{folder}/out.csv') SELECT 1 AS uri", "only reads"),
        ("ATTACH '{folder}/x.db'", "this is ATTACH"),
        ("SELECT content AS uri FROM read_text('{folder}/secret.txt')", "not read_text"),
        ("SELECT getenv('HOME') AS uri", "getenv"),
        ("SELECT file AS uri FROM read_parquet('{folder}/' || 'hidden.bin')", "reads only local"),
        ("SELECT file AS uri FROM 'https://example.org/a.parquet'", "There is no file"),
        ("SELECT file AS uri FROM '{folder}/broken.parquet'", "failed|can be read"),
    ],
)
def test_a_query_that_is_wrong_or_does_more_is_refused(
    table: Path, query: str, message: str
) -> None:
    folder = table.parent
    (folder / "secret.txt").write_text("secret")
    (folder / "broken.parquet").write_bytes(b"PAR1 no table PAR1")
    (folder / "hidden.bin").write_bytes(table.read_bytes())
    before = sorted(folder.iterdir())
    with pytest.raises(SourceError, match=message):
        _photos(query.format(path=table, folder=folder))
    assert sorted(folder.iterdir()) == before


def test_the_query_stays_as_written_in_the_settings_of_the_lineage(table: Path) -> None:
    query = f"SELECT file AS uri FROM '{table}'"
    source = {"kind": "sql", "path": query}
    recorded = config.as_recorded(config.Settings.model_validate({"source": source}))
    assert recorded.sources[0].path == query

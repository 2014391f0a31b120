"""`import repic`: the documented script, and each function of the API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import repic
from repic import config
from repic.errors import ConfigError, RowError
from storage.errors import NotFoundError, QueryError
from tests.builds import Built

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_documented_script_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    script = "\n".join(blocks)
    assert set(re.findall(r"^(?:import|from) (\w+)", script, re.MULTILINE)) == {"repic", "torch"}
    monkeypatch.chdir(tmp_path)
    exec(compile(script, str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert "<dataset dataset@v1" in printed
    assert "\n1.0\n" in printed


def test_a_version_is_read_in_every_form(built: Built) -> None:
    store = repic.open(built.location)
    examples = store["examples@latest"]
    table = examples.to_arrow(["example_id", "objective"])
    assert table.num_rows == len(examples) == len(examples.to_datasets())
    assert [row["example_id"] for row in examples.rows] == table["example_id"].to_pylist()
    [(count,)] = store.sql("select count(*) from examples").fetchall()
    assert count == len(examples)
    [(pairs,)] = store["dataset@latest"].sql("select count(*) from pairs").fetchall()
    assert pairs == len(store["dataset@latest"]["pairs"])
    assert "examples@v1" in store.versions("examples")
    assert examples.ref in repr(examples)


def test_queries_read_the_store_and_nothing_else(built: Built, tmp_path: Path) -> None:
    store = repic.open(built.copy(tmp_path / "store").location)
    assert store.sql("select count(*) from v1.pair_photos").fetchall() != [(0,)]
    dataset, target = store["dataset@latest"], tmp_path / "stolen.csv"
    for sql in (store.sql, dataset.sql, dataset["pairs"].sql):
        for query in (f"copy pairs to '{target}'", "select * from read_text('/etc/passwd')"):
            with pytest.raises(QueryError, match="only"):
                sql(query)
    assert not target.exists()
    with pytest.raises(QueryError, match="images does not exist"):
        dataset["pairs"].sql("select * from images")
    images = store._store.files.url(dataset["images"].manifest.shards[0].path)
    with pytest.raises(QueryError, match="only the tables"):
        dataset["pairs"].sql(f"from read_parquet('{images}')")


def test_the_same_build_is_the_same_version(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    before = repic.open(store.location)["dataset@latest"].ref
    assert repic.build(settings=built.album.settings(), store=store.location).ref == before


def test_errors_name_the_remedy(built: Built, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no store"):
        repic.open(tmp_path / "nowhere")
    with pytest.raises(KeyError, match="binds no paris: it has"):
        repic.open(built.location)["dataset@latest"]["paris"]
    with pytest.raises(ConfigError, match="not both"):
        repic.build("photos", settings=config.load("sample"))
    row = next(repic.open(built.location)["examples@latest"].rows)
    with pytest.raises(ConfigError, match="did you mean qwen3-vl"):
        repic.score("yes", row, convention="qwen3")
    with pytest.raises(RowError):
        repic.score("yes", {"objective": "oct"})


def test_every_public_name_exists_and_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in repic.__all__:
        assert getattr(repic, name).__doc__, name
        assert name in {"DataStore", "Version"} or f"repic.{name}" in page, name
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = repic.trian

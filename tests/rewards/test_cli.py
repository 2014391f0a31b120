"""`repic reward attack`, `score` and `explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from repic.cli import app
from repic.config import cache_folder
from repic.objectives.base import Row
from repic.rewards.attacks import suite
from repic.rewards.attacks.sample_rows import generated
from tests.rewards.test_scoring import ICT, OCT, VLT

HASH = "0" * 32


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["reward", *arguments])


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return generated()


@pytest.fixture(scope="module")
def store(rows: list[Row]) -> str:
    """The store of the generated rows."""
    return str(cache_folder() / "rewards")


@pytest.mark.slow
def test_attack_prints_zero_and_zero(rows: list[Row]) -> None:
    report = json.loads(run("attack", "--json").stdout)
    assert report["tried"] >= 240
    assert report["paraphrases"] >= 240
    assert (report["succeeded"], report["punished"]) == (0, 0)
    assert report["undefended"]
    assert report["released"]["succeeded"] > 0


@pytest.mark.slow
def test_attack_on_a_store(store: str) -> None:
    result = run("attack", "--store", store)
    assert result.exit_code == 0, result.output
    for words in ('"succeeded": 0', "released rewards", "undefended", "word soup"):
        assert words in result.output


def test_a_success_is_an_exit_code(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "LOST", -1.0)
    assert run("attack", "--store", store, "--json").exit_code == 1


def test_rows_of_no_store_are_refused() -> None:
    result = run("attack", "--dataset", "examples@v3")
    assert "give --store, too" in str(result.exception)


def test_only_examples_have_rewards(store: str) -> None:
    for words in (("attack",), ("explain", "a", "text")):
        result = run(*words, "--store", store, "--dataset", "images@latest")
        assert "has no training examples" in str(result.exception)
    found = run("explain", "", "text", "--store", store, "--dataset", "dataset@latest")
    assert "examples of dataset@latest begin with" in str(found.exception)


def test_score_rows_that_explain_themselves(tmp_path: Path) -> None:
    file = tmp_path / "completions.jsonl"
    lines = [
        {**OCT, "example_id": "a", "completion": "yes"},
        {**VLT, "completion": "[100, 200, 500, 800]"},
        {**ICT, "completion": "<Bob>"},
    ]
    bad = ["no json", "[]", "{}", '{"objective": "oct", "completion": "yes"}', "[" * 100_000]
    texts = (
        [json.dumps(line) for line in lines] + bad + ["", '{"completion": 1, "objective": "oct"}']
    )
    file.write_text("\n".join(texts), encoding="utf-8")
    store = str(tmp_path / "none")
    result = run("score", str(file), "--json", "--store", store)
    assert result.exit_code != 0  # a line without an objective needs a store, and there is none
    file.write_text("\n".join(text for text in texts if text != "{}"), encoding="utf-8")
    result = run("score", str(file), "--json", "--store", store)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [r["line"] for r in report] == [1, 2, 3, 4, 5, 6, 7, 9]
    assert [round(r["total"], 3) for r in report[:3]] == [1, 1, 0]
    assert report[0]["example_id"] == "a"
    assert report[2]["reason"] == "wrong_name"
    assert all("error" in r for r in report[3:])


def test_score_rows_of_a_store(rows: list[Row], store: str, tmp_path: Path) -> None:
    row = next(row for row in rows if row["objective"] == "oct")
    file = tmp_path / "completions.jsonl"
    lines = [
        {"example_id": row["example_id"], "completion": row["answer"]},
        {"example_id": HASH, "completion": "yes"},
        {"example_id": row["example_id"]},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    report = json.loads(run("score", str(file), "--json", "--store", store).stdout)
    assert report[0]["total"] == 1
    assert HASH in report[1]["error"]
    assert "completion" in report[2]["error"]
    table = run("score", str(file), "--store", store)
    assert "1 scored, mean 1.0000" in table.output


def test_score_needs_a_file_with_a_row(tmp_path: Path) -> None:
    assert run("score", str(tmp_path / "no.jsonl")).exit_code != 0
    (tmp_path / "empty.jsonl").touch()
    assert run("score", str(tmp_path / "empty.jsonl")).exit_code != 0


def test_explain(rows: list[Row], store: str) -> None:
    row = next(r for r in rows if r["kind"] == "mixed" and r["caption"])
    result = run("explain", row["example_id"], row["caption"], "--store", store)
    assert result.exit_code == 0, result.output
    for words in ("names", "facts", "total 1.000", "set-F1", row["caption"]):
        assert words in result.output
    report = json.loads(run("explain", row["example_id"], "", "--json", "--store", store).stdout)
    assert (report["total"], report["reason"]) == (0, "empty")
    assert report["distinctive_words"]
    assert report["telling"] == report["distinctive_words"]  # the former name
    assert run("explain", "zz", "text", "--store", store).exit_code != 0

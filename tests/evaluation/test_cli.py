"""`repic evaluate captions` and `compare-captions`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from repic.cli import app
from repic.cli.common import UserError, explain
from tests.rewards.test_judge import Server, server  # noqa: F401
from tests.test_import_time import HEAVY, HELP, NOT_FOR_HELP, imported

NAMES = ("<Ann>", "<Bob>")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["evaluate", *arguments])


def write(path: Path, caption: str, extra: str = "") -> str:
    rows = [[f"{n % 6}.png", NAMES, caption if n else extra or caption, ""] for n in range(12)]
    path.write_text(json.dumps(rows))
    return str(path)


@pytest.fixture
def good(tmp_path: Path) -> str:
    return write(tmp_path / "good.json", "<Ann> with <Bob> at the table.")


@pytest.fixture
def poor(tmp_path: Path) -> str:
    return write(tmp_path / "poor.json", "<Ann> sits at the long table.", "A table.")


def test_the_paper_metric_is_three_numbers_with_n_and_interval(poor: str) -> None:
    result = run("captions", poor, "--metric", "paper", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    values = {key: report[key] for key in ("precision", "recall", "f1")}
    assert values == pytest.approx({"precision": 1.0, "recall": 11 / 24, "f1": 22 / 35})
    counts = {key: score["n"] for key, score in report["scores"].items()}
    assert counts == {"precision": 11, "recall": 24, "f1": 24}
    low, high = report["scores"]["recall"]["interval"]
    assert low < report["recall"] < high
    one = run("captions", poor, "--metric", "paper", "--concepts", "1", "--json")
    assert json.loads(one.stdout)["recall"] == pytest.approx(11 / 12)


def test_strict_is_the_default_and_says_n_and_intervals(poor: str) -> None:
    report = json.loads(run("captions", poor, "--json").stdout)
    assert report["metric"] == "strict"
    assert (report["n"], report["photos"]) == (12, 6)
    assert report["precision"] == pytest.approx(11 / 12)
    score = report["scores"]["f1"]
    assert score["value"] == report["f1"]
    assert score["interval"][0] <= report["f1"] <= score["interval"][1]
    assert report["scores"]["binding"] == {
        "value": None,
        "interval": None,
        "n": 0,
        "unit": "claim",
    }
    assert report["quality"]["length"]["n"] == 12
    assert "too few" in report["remarks"][-1]


@pytest.mark.parametrize("metric", ["paper", "strict"])
def test_tables_show_n_and_the_interval(poor: str, good: str, metric: str) -> None:
    for result in (
        run("captions", poor, "--metric", metric),
        run("compare-captions", poor, good, "--metric", metric),
    ):
        assert result.exit_code == 0, result.output
        for words in ("95 % interval", " to ", "precision", "recall", "f1", "12 captions"):
            assert words in result.output


def test_comparison(poor: str, good: str) -> None:
    report = json.loads(run("compare-captions", poor, good, "--json").stdout)
    recall = report["scores"]["recall"]
    assert recall["difference"] == pytest.approx(1 - 11 / 24)
    assert recall["p"] == pytest.approx(2 / 64)
    assert recall["a"]["n"] == 12


def test_an_address_of_no_judge_is_refused(poor: str, good: str) -> None:
    result = run("compare-captions", poor, good, "--judge", "localhost")
    assert "write an address" in (explain(result.exception) or "")


def test_comparison_with_a_judge(poor: str, good: str, server: Server) -> None:  # noqa: F811
    server.reply = lambda captions: max(captions, key=lambda label: len(captions[label]))
    url = server.settings().url
    assert url
    result = run("compare-captions", poor, good, "--judge", url, "--json")
    assert json.loads(result.stdout)["preference"]["value"] == 1
    assert "preferred" in run("compare-captions", poor, good, "--judge", url).output


def test_references_and_photos_add_to_it(poor: str, tmp_path: Path) -> None:
    concepts = tmp_path / "concepts.json"
    concepts.write_text(
        json.dumps({"concept_dict": {"<Ann>": {"info": "She sits at the long table"}}})
    )
    for n in range(6):
        Image.new("RGB", (32, 32), (40 * n, 9, 9)).save(tmp_path / f"{n}.png")
    result = run(
        *("captions", poor, "--json", "--references", str(concepts), "--images", str(tmp_path))
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)["quality"]
    assert report["clip_score"]["n"] == 12
    assert report["copy_rate"]["value"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--concepts", "0"), "--concepts is 0"),
        (("--references", "nowhere.json"), "there is no file"),
        (("--images", "nowhere"), "there is no folder"),
    ],
)
def test_what_a_person_can_mend(poor: str, arguments: tuple[str, ...], words: str) -> None:
    result = run("captions", poor, *arguments)
    assert words in (explain(result.exception) or "")
    assert UserError.exit_code == 2


def test_help_imports_nothing_heavy() -> None:
    loaded = imported(HELP.format("'evaluate', 'captions', '--help'"))
    assert not loaded & (HEAVY | NOT_FOR_HELP)


def test_scoring_imports_no_model(good: str) -> None:
    code = f"import sys\nsys.argv = ['repic', 'evaluate', 'captions', {good!r}]\n"
    code += "from repic.cli import main\nmain()"
    assert not imported(code) & {"torch", "transformers", "prefect", "open_clip", "datasets"}

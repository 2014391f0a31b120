"""What the functions return is what the commands print as `--json`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import repic
from repic.errors import ConfigError
from tests.builds import Built
from tests.evaluation.servers import name_none, serving
from tests.trained import Trained, tiny, trained
from tests.training.runs import PLAIN, SMALL

__all__ = ["tiny", "trained"]

Main = Callable[..., tuple[int, str, str]]


def printed(repic_main: Main, *arguments: str) -> dict[str, object]:
    code, output, errors = repic_main(*arguments, "--json")
    assert code == 0, errors
    return json.loads(output)


def plain(record: object) -> object:
    return json.loads(json.dumps(record, default=str))


def test_build(built: Built, repic_main: Main, tmp_path: Path) -> None:
    store = str(built.copy(tmp_path / "store").location)
    outcome = repic.build(settings=built.album.settings(), store=store)
    command = printed(repic_main, *built.album.arguments, "--store", store)
    assert command.pop("seconds") is not None
    record = plain(outcome.as_json())
    assert isinstance(record, dict)
    del record["seconds"]
    assert record == command
    assert outcome.ref == command["dataset"] == "dataset@v1"
    assert len(outcome["pairs"]) == command["rows"]["pairs"]  # type: ignore[index]


def test_diff(built: Built, repic_main: Main, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    settings = built.album.settings("examples.vlt.max_per_photo=1")
    assert repic.build(settings=settings, store=store.location).ref == "dataset@v2"
    found = repic.open(store.location).diff("dataset@v1", "dataset@v2", limit=2)
    options = ("dataset@v1", "dataset@v2", "--limit", "2", "--store", store.location)
    assert plain(found) == printed(repic_main, "diff", *options)
    assert found["examples"]["removed"] > 2 == len(found["examples"]["rows"]["removed"])
    with pytest.raises(ConfigError, match="is a dataset and pairs@v1 a table: give two of a kind"):
        repic.open(store.location).diff("dataset@v1", "pairs@v1")


def test_train(trained: Trained, tiny: str, repic_main: Main) -> None:
    store = trained.store.location
    changes = [*SMALL, f"train.model={tiny}"]
    outcome = repic.train(profile=PLAIN, overrides=changes, store=store)
    assert outcome is not None
    options = ("--profile", PLAIN, "--store", store, *(f"--set={change}" for change in changes))
    assert plain(outcome.as_json()) == printed(repic_main, "train", *options)
    assert outcome.ref == "checkpoint@v1"


@pytest.mark.parametrize("task", ["caption", "recognition"])
def test_evaluate(
    task: str, repic_main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = str(tmp_path / "store")
    with serving(name_none) as server:
        changes = [f"evaluate.url={server.url}", "evaluate.backend=server", "evaluate.photos=8"]
        changes += [f"evaluate.task={task}", "evaluate.protocols=[wrong]"]
        first = repic.evaluate("shy", overrides=changes, store=store)
        outcome = repic.evaluate("shy", overrides=changes, store=store)
        sets = [f"--set={change}" for change in changes]
        command = printed(repic_main, "evaluate", "run", "--model", "shy", "--store", store, *sets)
    assert plain(outcome.as_json()) == command
    assert plain(first.as_json()) == {**command, "is_new": True}
    assert first.ref == command["evaluation" if task == "caption" else "answers"]


def test_score(built: Built, repic_main: Main, tmp_path: Path) -> None:
    rows = list(repic.open(built.location)["examples@latest"])[:20]
    answers = [(row, text) for row in rows for text in (row.answer, "no", "<b>")]
    file = tmp_path / "completions.jsonl"
    lines = [{"example_id": row.example_id, "completion": text} for row, text in answers]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    code, output, errors = repic_main(
        "reward", "score", str(file), "--store", str(built.location), "--json"
    )
    assert code == 0, errors
    for (row, text), line in zip(answers, json.loads(output), strict=True):
        del line["line"]
        assert line.pop("example_id") == row.example_id
        assert plain(repic.score(text, row).as_json()) == line
        assert repic.score(text, row.row) == repic.score(text, row)

"""`repic automations` on a real server and worker: it trains, and posts messages."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flows.automations import KINDS
from storage.store import Store
from tests.flows.up import PREFECT, REPIC, Up, client_of
from tests.flows.webhook import webhook

Main = Callable[..., tuple[int, str, str]]
PATIENCE = 240.0
"""Seconds that anything may take on a busy machine."""


def automations(up: Up, *arguments: str) -> str:
    done = up.shell(*REPIC, "automations", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(up: Up, deployment: str, **parameters: Any) -> str:
    """Run a deployment until it ends; what was printed."""
    given = [f"--param={name}={json.dumps(value)}" for name, value in parameters.items()]
    command = [PREFECT, "deployment", "run", f"{deployment}/{deployment}", "--watch", *given]
    return up.shell(*command).stdout


@pytest.mark.slow
def test_a_failure_is_posted_once(shared_up: Up) -> None:
    with webhook() as (url, texts), client_of(shared_up.access) as client:
        for _ in range(2):  # the second call replaces the automation of the first
            automations(shared_up, "apply", "failed", "--notify", url)
        assert len(client.read_automations_by_name("repic failed")) == 1
        # The build is a flow within the refresh, and fails first; only the refresh is told.
        run(shared_up, "refresh", overrides=["source.identities=0"], store="failed")
        text = texts.get(timeout=PATIENCE)
        assert text.startswith("repic failed\nrefresh/")
        assert "source.identities" in text
        with pytest.raises(queue.Empty):
            texts.get(timeout=1)
        automations(shared_up, "remove", "failed")
        assert client.read_automations_by_name("repic failed") == []


@pytest.mark.slow
def test_a_build_is_trained_on_and_refused_files_are_posted(shared_up: Up, tmp_path: Path) -> None:
    with webhook() as (url, texts), client_of(shared_up.access) as client:
        automations(shared_up, "apply", "quarantine", "--notify", url)
        # A wrong setting ends the training at once; that it starts is what is looked at.
        automations(shared_up, "apply", "train", "--param", "overrides=train.wrong=1")
        small = ["source.count=24", "source.identities=6"]
        run(shared_up, "build-datasets", overrides=small, store="trained")
        store = Store.open(shared_up.root / "trained")
        examples = str(store.manifest("examples@latest").ref)

        def started() -> bool:
            return any(training.parameters["dataset"] == examples for training in trainings())

        def trainings() -> list[Any]:
            runs = client.read_flow_runs()
            return [one for one in runs if "dataset" in one.parameters]

        shared_up.wait(started, PATIENCE)
        [training] = trainings()
        assert training.parameters["store"] == str(shared_up.root / "trained")
        assert training.parameters["overrides"] == ["train.wrong=1"]

        for number in range(2):
            (tmp_path / f"bad{number}.jpg").write_bytes(b"no picture")
            Image.effect_noise((160, 160), 60 + number).save(tmp_path / f"good{number}.jpg")
        models = ["detector.kind=yolo", "detector.checkpoint=sample", "encoder.architecture=sample"]
        images = str(tmp_path)
        run(shared_up, "build-datasets", images=images, overrides=models, store="refused")
        assert "2 of 4 files cannot be used" in texts.get(timeout=PATIENCE)
        automations(shared_up, "remove", "train", "quarantine")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["apply"], "name what to apply: train, failed"),
        (["apply", "everything"], "there is no automation everything; choose of: train"),
        (["apply", "failed"], "give --notify URL"),
        (["apply", "failed", "--notify", "ftp://host/"], "begins with http:// or https://"),
        (["apply", "failed", "--notify", "http://[host/"], "begins with http:// or https://"),
        (["apply", "failed", "--notify", "http:///"], "begins with http:// or https://"),
        (
            ["apply", "train", "failed", "--param", "a=b", "--notify", "http://host/"],
            "not for failed",
        ),
        (["remove", "everything"], "there is no automation everything"),
        (["apply", "train"], "no Prefect server answers"),
        (["list"], "no Prefect server answers"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str], sentence: str, repic_main: Main, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    code, _, error = repic_main("automations", *arguments)
    assert code == 2
    assert sentence in " ".join(error.split())


def test_every_automation_says_what_it_does() -> None:
    for name, kind in KINDS.items():
        assert kind.does, name
        assert not kind.does.endswith("."), name

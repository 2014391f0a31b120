"""The flow train-grpo: a run with its page, and which errors are not retried."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.common import is_transient
from repic.errors import DataError, PreflightError, TrainingStoppedError, WeightsError
from repic.training.publish import PICTURE
from tests.builds import Built, repic
from tests.flows.up import home_of
from tests.random_vlms import qwen2_5_vl_folder
from tests.training.runs import PLAIN, SMALL


@pytest.mark.parametrize("error", [DataError, PreflightError, TrainingStoppedError, WeightsError])
def test_what_a_person_must_mend_is_not_tried_again(error: type[Exception]) -> None:
    from prefect.states import Failed

    assert not is_transient(None, None, Failed(data=error("x")))  # type: ignore[arg-type]
    assert is_transient(None, None, Failed(data=ConnectionError("x")))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_with_prefect_publishes_and_reports(
    built: Built, tmp_path: Path, user: dict[str, str]
) -> None:
    store = built.copy(tmp_path / "store")
    model = qwen2_5_vl_folder(tmp_path / "model")
    options = ["--profile", PLAIN, "--model", model, "--store", str(tmp_path / "store")]
    done = repic(
        "train",
        *options,
        "--prefect",
        *(f"--set={change}" for change in SMALL),
        timeout=600,
        env={**user, "PREFECT_API_URL": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Published checkpoint@v1 with rollouts@v1" in done.stdout
    checkpoint = store.manifest("checkpoint@latest")
    assert checkpoint.run.flow_run
    table, picture = _artifacts(home_of(user, tmp_path / "store"))
    assert "Published `checkpoint@v1` with `rollouts@v1`." in table
    head, _, *rows = [line for line in table.splitlines() if line.startswith("|")]
    assert head == "| answers | objective | rows | before | after | difference | 95 % |"
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    changes = checkpoint.notes["changes"]
    assert {(how, objective) for how, objective, *_ in cells} == {
        (how, objective)
        for how in ("greedy", "sampled")
        for objective in ("oct", "vlt", "ict", "all")
    }
    assert len(cells) == len(changes)
    for (how, objective, *numbers, interval), change in zip(cells, changes, strict=True):
        assert (how, objective) == (change["how"], change["objective"])
        n, before, after = (change[name] for name in ("n", "before", "after"))
        expected = [n, before, after, after - before]
        assert [float(number) for number in numbers] == pytest.approx(expected, abs=5.1e-4)
        low, high = interval.split(" to ")
        assert float(low) == pytest.approx(change["low"], abs=5.1e-4)
        assert float(high) == pytest.approx(change["high"], abs=5.1e-4)
    kind, _, data = picture.partition(",")
    assert kind == "data:image/png;base64"
    curves = next(file for file in checkpoint.files if file.name == PICTURE)
    assert base64.b64decode(data) == store.files.read(curves.path)


def _artifacts(home: Path) -> tuple[str, str]:
    """Table and picture of the newest run, from the database of this PREFECT_HOME."""
    newest = "SELECT type, data FROM artifact WHERE key = ? ORDER BY created DESC LIMIT 1"
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        artifacts = [
            database.execute(newest, (key,)).fetchone()
            for key in ("train-grpo", "train-grpo-curves")
        ]
    assert [kind for kind, _ in artifacts] == ["markdown", "image"]
    table, picture = (json.loads(data) for _, data in artifacts)
    return table, picture

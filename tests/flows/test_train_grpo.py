"""The flow train-grpo: one run of it with its page, and what is not tried again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.train_grpo import _may_pass
from repic.train.errors import DataError, PreflightError, TrainingStoppedError
from repic.weights import WeightsError
from tests.builds import Built, repic
from tests.random_vlms import qwen2_5_vl_folder
from tests.train.runs import PLAIN, SMALL


@pytest.mark.parametrize("error", [DataError, PreflightError, TrainingStoppedError, WeightsError])
def test_what_a_person_must_mend_is_not_tried_again(error: type[Exception]) -> None:
    from prefect.states import Failed

    assert not _may_pass(None, None, Failed(data=error("x")))  # type: ignore[arg-type]
    assert _may_pass(None, None, Failed(data=ConnectionError("x")))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_with_prefect_publishes_and_reports(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    model = qwen2_5_vl_folder(tmp_path / "model")
    options = ["--profile", PLAIN, "--model", model, "--store", str(tmp_path / "store")]
    done = repic(
        "train",
        *options,
        "--prefect",
        *(f"--set={change}" for change in SMALL),
        timeout=600,
        env={**os.environ, "PREFECT_API_URL": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Published checkpoint@v1 with rollouts@v1" in done.stdout
    assert store.manifest("checkpoint@latest").run.flow_run

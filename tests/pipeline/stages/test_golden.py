"""Same fingerprint, same rows: a stage whose rows change must raise its version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from repic.pipeline.stages import STAGES
from repic.tables import TABLES
from tests.builds import OF_MODELS
from tests.pipeline.stages import golden

RECORDED: dict[str, dict[str, Any]] = json.loads(golden.RECORD.read_text())
ANEW = "record it anew: python -m tests.pipeline.stages.golden"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, dict[str, pa.Table]]:
    return golden.made(folder)


def test_every_stage_is_guarded() -> None:
    assert list(RECORDED) == [stage.name for stage in STAGES], ANEW


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_rows_change_only_with_the_version(
    stage: Any, folder: Path, made: dict[str, dict[str, pa.Table]]
) -> None:
    recorded = RECORDED[stage.name]
    if recorded.get("packages", golden.packages()) != golden.packages():
        pytest.skip("the recorded rows need the package versions of requirements.lock")
    assert recorded["version"] == stage.version, f"{stage.name}: the version is another; {ANEW}"
    now = golden.recipe(stage, golden.settings(folder))
    assert recorded["recipe"] == now, (
        f"{stage.name}: its recipe is another (settings, sentences), so its rows may be; {ANEW}"
    )
    assert recorded["rows"] == golden.digest(made[stage.name]), (
        f"{stage.name} makes other rows under the same fingerprint: raise the stage's version "
        f"(class {type(stage).__name__}), then {ANEW}"
    )


def test_vectors_change_only_with_the_version(made: dict[str, dict[str, pa.Table]]) -> None:
    now = golden.vectors(made["embeddings"])
    for vector, recorded in zip(now, RECORDED["embeddings"]["vectors"], strict=True):
        assert vector == pytest.approx(recorded, abs=0.02), "raise the version of embeddings"


def test_the_fixed_inputs_show_something(made: dict[str, dict[str, pa.Table]]) -> None:
    """A golden test of empty tables would guard nothing."""
    for stage in STAGES:
        for name in stage.writes:
            table = made[stage.name][name]
            assert table.num_rows, name
            TABLES[name].check(table)
    assert set(made["examples"]["examples"]["objective"].to_pylist()) == {"oct", "vlt", "ict"}
    assert set(made["pairs"]["pairs"]["kind"].to_pylist()) == {"positive", "negative"}
    assert made["quarantine"]["quarantine"].num_rows == 2
    labels = made["detections"]["detections"]["label"].to_pylist()
    assert "flea" not in labels  # too small
    objects = made["objects"]["objects"].to_pylist()
    assert len(objects) == 8  # a reviewer rejected one of nine
    assert {row["same_label_count"] for row in objects} == {1, 2}
    assert sum(row["identity"] is not None for row in objects) in {2, 3}


def test_a_stage_reads_only_what_was_made_before() -> None:
    available = {"source", "reviews"}
    for stage in STAGES:
        assert set(stage.reads) <= available, stage.name
        available |= set(stage.writes)
    assert available - {"source"} == TABLES.keys() - OF_MODELS

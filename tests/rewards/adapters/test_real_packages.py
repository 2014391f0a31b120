"""Adapters inside their trainers: the real packages, each in an environment of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import repic.rewards.adapters
from repic.images.coordinates import QWEN3_VL
from repic.rewards import export
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score
from repic.training.checks.preflight import corrupted_answer
from tests.builds import Built
from tests.rewards.adapters.environments import MS_SWIFT, OPENRLHF, VERL, python_of, run_script
from tests.rewards.server.workers import worker

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1200)]

ADAPTERS = Path(repic.rewards.adapters.__file__).parent
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def worker_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with worker(token="abc") as url:
        monkeypatch.setenv("REPIC_REWARD_URL", url)
        monkeypatch.setenv("REPIC_REWARD_TOKEN", "abc")
        yield url


@pytest.fixture(scope="module")
def exported(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Exported rows, a right and a wrong answer to each, and the rewards of those."""
    folder = tmp_path_factory.mktemp("exported")
    rows = built.store.read("examples@latest").to_pylist()
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["objective"], row["kind"]), []).append(row)
    chosen = [row for some in kinds.values() for row in some[:3]]
    export.export_rows(chosen, folder, QWEN3_VL)
    lines = [json.loads(line) for line in (folder / export.LINES).read_text().splitlines()]
    given: dict[str, Any] = {"lines": [], "answers": [], "rewards": []}
    for row, line in zip(chosen, lines, strict=True):
        for answer in (gold_answer(row, QWEN3_VL) or "A photo.", corrupted_answer(row, QWEN3_VL)):
            given["lines"].append(line)
            given["answers"].append(answer)
            given["rewards"].append(score(answer, row).total)
    assert len(set(given["rewards"])) > 3
    return given


def test_ms_swift(worker_url: str, exported: dict[str, Any], tmp_path: Path) -> None:
    python = python_of(MS_SWIFT, tmp_path)
    given = {**exported, "plugin": str(ADAPTERS / "ms_swift_reward.py")}
    assert run_script(python, "ms_swift", given) == pytest.approx(exported["rewards"], abs=1e-6)
    assert set(run_script(python, "ms_swift", given, REPIC_REWARD_URL=NOWHERE)) == {0.5}


def test_verl(worker_url: str, exported: dict[str, Any], tmp_path: Path) -> None:
    python = python_of(VERL, tmp_path)
    given = {**exported, "adapter": str(ADAPTERS / "verl_reward.py")}
    results = run_script(python, "verl", given)
    for way in ("single", "batch"):
        assert results[way] == pytest.approx(exported["rewards"], abs=1e-6)
        assert set(results[f"{way} scored"]) == {1.0}
    few = {**given, **{key: exported[key][:2] for key in ("lines", "answers")}}
    unscored = run_script(python, "verl", few, REPIC_REWARD_URL=NOWHERE)
    for way in ("single", "batch"):
        assert unscored[way] == [0.5, 0.5]
        assert unscored[f"{way} scored"] == [0.0, 0.0]


def test_openrlhf(worker_url: str, exported: dict[str, Any], tmp_path: Path) -> None:
    python = python_of(OPENRLHF, tmp_path)
    given = {
        **exported,
        "file": str(ADAPTERS / "openrlhf_reward.py"),
        "url": f"{worker_url.replace('://', '://any:abc@')}/get_reward?name=qwen3-vl",
    }
    results = run_script(python, "openrlhf", given)
    for way in ("file", "url"):
        assert results[way] == pytest.approx(exported["rewards"], abs=1e-6)
        assert set(results[f"{way} scored"]) == {1.0}

"""Adapters inside the trainers that they are for: the real packages, each in an environment."""

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
from repic.train.preflight import corrupted_answer
from tests.builds import Built
from tests.rewards.adapters.environments import MS_SWIFT, OPENRLHF, VERL, python_of, told
from tests.rewards.server.workers import worker

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1200)]

ADAPTERS = Path(repic.rewards.adapters.__file__).parent
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with worker(token="abc") as url:
        monkeypatch.setenv("REPIC_REWARD_URL", url)
        monkeypatch.setenv("REPIC_REWARD_TOKEN", "abc")
        yield url


@pytest.fixture(scope="module")
def handed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Rows as another trainer gets them, a right and a wrong answer to each, and their rewards."""
    folder = tmp_path_factory.mktemp("handed")
    rows = built.store.read("examples@latest").to_pylist()
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["objective"], row["kind"]), []).append(row)
    chosen = [row for some in kinds.values() for row in some[:3]]
    export.export_rows(chosen, folder, QWEN3_VL)
    lines = [json.loads(line) for line in (folder / export.LINES).read_text().splitlines()]
    given: dict[str, Any] = {"lines": [], "answers": [], "rewards": []}
    for row, line in zip(chosen, lines, strict=True):
        for said in (gold_answer(row, QWEN3_VL) or "A photo.", corrupted_answer(row, QWEN3_VL)):
            given["lines"].append(line)
            given["answers"].append(said)
            given["rewards"].append(score(said, row).total)
    assert len(set(given["rewards"])) > 3
    return given


def test_ms_swift(served: str, handed: dict[str, Any], tmp_path: Path) -> None:
    python = python_of(MS_SWIFT, tmp_path)
    given = {**handed, "plugin": str(ADAPTERS / "ms_swift_reward.py")}
    assert told(python, "ms_swift", given) == pytest.approx(handed["rewards"], abs=1e-6)
    assert set(told(python, "ms_swift", given, REPIC_REWARD_URL=NOWHERE)) == {0.5}


def test_verl(served: str, handed: dict[str, Any], tmp_path: Path) -> None:
    python = python_of(VERL, tmp_path)
    given = {**handed, "adapter": str(ADAPTERS / "verl_reward.py")}
    found = told(python, "verl", given)
    for way in ("single", "batch"):
        assert found[way] == pytest.approx(handed["rewards"], abs=1e-6)
        assert set(found[f"{way} scored"]) == {1.0}
    few = {**given, **{key: handed[key][:2] for key in ("lines", "answers")}}
    lost = told(python, "verl", few, REPIC_REWARD_URL=NOWHERE)
    for way in ("single", "batch"):
        assert lost[way] == [0.5, 0.5]
        assert lost[f"{way} scored"] == [0.0, 0.0]


def test_openrlhf(served: str, handed: dict[str, Any], tmp_path: Path) -> None:
    python = python_of(OPENRLHF, tmp_path)
    given = {
        **handed,
        "file": str(ADAPTERS / "openrlhf_reward.py"),
        "url": f"{served.replace('://', '://any:abc@')}/get_reward?name=qwen3-vl",
    }
    found = told(python, "openrlhf", given)
    for way in ("file", "url"):
        assert found[way] == pytest.approx(handed["rewards"], abs=1e-6)
        assert set(found[f"{way} scored"]) == {1.0}

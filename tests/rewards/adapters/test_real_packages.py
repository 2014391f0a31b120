"""Adapters inside their trainers: the real packages, each in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import repic.rewards.adapters
from repic.export.chat import ChatRow
from repic.images.coordinates import QWEN3_VL
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score
from repic.training.checks.preflight import corrupted_answer
from tests.builds import Built
from tests.environments import Package, python_of, run_script
from tests.rewards.server.workers import worker

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1200)]

ADAPTERS = Path(repic.rewards.adapters.__file__).parent
INSIDE = Path(__file__).parent / "inside"
NOWHERE = "http://127.0.0.1:9"

MS_SWIFT = Package("ms_swift", ("ms-swift==4.6.0",))
VERL = Package("verl", ("verl==0.9.1",))
# It depends on flash-attn, which needs a CUDA compiler; its reward code does not.
OPENRLHF = Package(
    "openrlhf",
    ("torch", "transformers", "aiohttp", "pylatexenc", "sympy"),
    alone=("openrlhf==0.11.2",),
)


@pytest.fixture
def worker_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with worker(token="abc") as url:
        monkeypatch.setenv("REPIC_REWARD_URL", url)
        monkeypatch.setenv("REPIC_REWARD_TOKEN", "abc")
        yield url


@pytest.fixture(scope="module")
def exported(built: Built) -> dict[str, Any]:
    """Rows as they are exported, a right and a wrong answer to each, and the rewards of those."""
    rows = built.store.read("examples@latest").to_pylist()
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["objective"], row["kind"]), []).append(row)
    chosen = [row for some in kinds.values() for row in some[:3]]
    lines = [_line(ChatRow(row, (), QWEN3_VL)) for row in chosen]
    given: dict[str, Any] = {"lines": [], "answers": [], "rewards": []}
    for row, line in zip(chosen, lines, strict=True):
        for answer in (gold_answer(row, QWEN3_VL) or "A photo.", corrupted_answer(row, QWEN3_VL)):
            given["lines"].append(line)
            given["answers"].append(answer)
            given["rewards"].append(score(answer, row).total)
    assert len(set(given["rewards"])) > 3
    return given


def _line(chat: ChatRow) -> dict[str, Any]:
    return {
        "messages": chat.flat_messages,
        "label": chat.label,
        "data_source": f"repic/{chat.row['objective']}",
        "reward_model": {"style": "rule", "ground_truth": chat.label},
    }


def test_ms_swift(worker_url: str, exported: dict[str, Any], tmp_path: Path) -> None:
    python = python_of(MS_SWIFT, tmp_path)
    given = {**exported, "plugin": str(ADAPTERS / "ms_swift_reward.py")}
    script = INSIDE / "ask_ms_swift.py"
    assert run_script(python, script, given) == pytest.approx(exported["rewards"], abs=1e-6)
    assert set(run_script(python, script, given, REPIC_REWARD_URL=NOWHERE)) == {0.5}


def test_verl(worker_url: str, exported: dict[str, Any], tmp_path: Path) -> None:
    python = python_of(VERL, tmp_path)
    given = {**exported, "adapter": str(ADAPTERS / "verl_reward.py")}
    results = run_script(python, INSIDE / "ask_verl.py", given)
    for way in ("single", "batch"):
        assert results[way] == pytest.approx(exported["rewards"], abs=1e-6)
        assert set(results[f"{way} scored"]) == {1.0}
    few = {**given, **{key: exported[key][:2] for key in ("lines", "answers")}}
    unscored = run_script(python, INSIDE / "ask_verl.py", few, REPIC_REWARD_URL=NOWHERE)
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
    results = run_script(python, INSIDE / "ask_openrlhf.py", given)
    for way in ("file", "url"):
        assert results[way] == pytest.approx(exported["rewards"], abs=1e-6)
        assert set(results[f"{way} scored"]) == {1.0}

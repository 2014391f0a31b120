"""A candidate with a better F1 that a guard refuses: real captions, the rule, the record."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repic import config
from repic.evaluation.results import EvaluationResult
from repic.evaluation.run import run
from repic.refresh import history
from repic.refresh.decision import MetricComparison, decide
from repic.refresh.run import _caption_metric
from repic.tables import TABLES
from storage.manifest import Origin, Run
from storage.store import Store
from tests.evaluation.servers import name_all, name_none, serving

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "store", create=True)
    for number in (1, 2):
        origin = Origin(fingerprint=str(number))
        made.publish_files("checkpoint", {"adapter": bytes([number])}, origin, kind="checkpoint")
    made.commit({"checkpoint": 2})
    made.tag("checkpoint@v1", "production")
    return made


@pytest.fixture
def evaluated(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[EvaluationResult, EvaluationResult]:
    """One captioner names no reference; the other names all of them, present or absent."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    values: dict[str, Any] = {
        "photos": 8,
        "protocols": ("wrong", "mixed"),
        "backend": "server",
    }
    changes = ["evaluate.clip_score=false"]
    with serving(name_none) as server:
        asked = config.load("sample", changes, evaluate={"url": server.url, **values})
        old = run("shy", asked, store)
        server.reply = name_all
        return old, run("eager", asked, store)


def test_a_better_f1_is_refused_for_a_guard_alone(
    store: Store, evaluated: tuple[EvaluationResult, EvaluationResult], repic_main: Main
) -> None:
    gain = _caption_metric("f1", "mixed", *evaluated, margin=None)
    false = _caption_metric("false_mention", "wrong", *evaluated, margin=0.02)
    held = MetricComparison("oct", 0.9, 0.89, -0.01, -0.05, 0.03, 0.02, n=64)
    assert gain.met
    assert (gain.low or 0) > 0
    assert held.met
    decision = decide(True, (gain, false, held))
    assert decision.verdict == "refused"
    assert decision.why == (
        "false_mention (wrong) 0.0 to 100.0 (+100.0, +100.0 to +100.0, n 24): "
        "beyond its margin of 2.0"
    )
    assert decide(True, (gain, held)).verdict == "promoted"
    assert decide(True, (gain, held)).why.startswith("f1 (mixed) 0.0 to ")
    assert ", n 24): better beyond its interval" in decide(True, (gain, held)).why

    made = history.record(
        *(store, "request", "checkpoint@v2", "checkpoint@v1", decision, "production"),
        *(Run.here(), {}, evaluated[1].manifest),
    )
    assert made.in_use == history.in_use(store, "production") == "checkpoint@v1"
    [again] = history.decisions(store)
    assert {row["metric"]: (row["met"], row["n"]) for row in again.rows} == {
        "f1 (mixed)": (True, 24),
        "false_mention (wrong)": (False, 24),
        "oct": (True, 64),
    }
    code, printed, errors = repic_main("refresh", "why", "--store", str(store.files.root))
    assert code == 0, errors
    assert decision.why in printed
    line = next(line for line in printed.splitlines() if line.startswith(" oct"))
    assert "64" in line.split()


def test_decisions_from_before_n_was_kept_are_read_and_added_to(
    store: Store, repic_main: Main
) -> None:
    old = MetricComparison("f1 (mixed)", None, 0.5)
    row = history._columns(old) | {
        "decision": 1,
        "request": "r",
        "verdict": "first",
        "why": "w",
        "candidate": "checkpoint@v1",
        "production": None,
        "made_at": datetime.datetime.now(datetime.UTC),
    }
    table = TABLES[history.NAME].table([row]).drop_columns(["n"])
    origin = Origin(fingerprint="before")
    first = store.publish(history.NAME, table, origin, key=TABLES[history.NAME].key)
    store.commit({history.NAME: first.version})
    assert repic_main("refresh", "why", "--store", str(store.files.root))[0] == 0
    gain = MetricComparison("f1 (mixed)", 0.5, 0.7, 0.2, 0.1, 0.3, n=120)
    history.record(
        *(store, "request", "checkpoint@v2", "checkpoint@v1", decide(True, (gain,)), "production"),
        *(Run.here(), {}),
    )
    assert [d.rows[0]["n"] for d in history.decisions(store)] == [None, 120]

"""The flow evaluate: a run with its page, and which errors are retried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.common import is_transient
from flows.evaluate import _table, evaluate
from flows.local.access import Access
from repic.errors import CaptionServerError, ConfigError, SuiteError
from repic.evaluation.results import load
from storage.errors import UnreachableError
from storage.store import Store
from tests.evaluation.servers import name_none, serving
from tests.flows.up import PREFECT, Up, artifact


def test_only_what_may_pass_is_tried_again() -> None:
    from prefect.states import Failed

    for error in (SuiteError("x"), ConfigError("x")):
        assert not is_transient(None, None, Failed(data=error))  # type: ignore[arg-type]
    for passing in (CaptionServerError("x"), UnreachableError("x"), ConnectionError("x")):
        assert is_transient(None, None, Failed(data=passing))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_publishes_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Access
) -> None:
    from prefect.settings import (
        PREFECT_HOME,
        temporary_settings,
    )

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REPIC_HOME", str(tmp_path))
    prefect = {PREFECT_HOME: tmp_path / "prefect"}
    with serving(name_none) as server, api.active(), temporary_settings(prefect):
        changes = {"backend": "server", "url": server.url, "protocols": "[wrong]", "photos": 8}
        ref = evaluate(
            "shy",
            overrides=[f"evaluate.{key}={value}" for key, value in changes.items()],
            page="page.html",
            store="store",
        )
    evaluation = load(Store.open(tmp_path / "store"), ref)
    assert evaluation.score("f1", "wrong").value == 1
    assert evaluation.manifest.run.flow_run
    fit = evaluation.score("clip_score", "wrong", metric="quality")
    table = "\n".join(_table(evaluation, "quality", ("clip_score",), "length"))
    assert f"| wrong | 24 | {fit.value:.2f} ({fit.low:.2f} to {fit.high:.2f}) |" in table
    assert "Every caption is correct." in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_deployment_is_run_by_a_real_server_and_worker(shared_up: Up) -> None:
    up = shared_up
    with serving(name_none) as server:
        changes = {"backend": "server", "url": server.url, "protocols": "[wrong]", "photos": 8}
        overrides = json.dumps([f"evaluate.{key}={value}" for key, value in changes.items()])
        done = up.shell(
            *(PREFECT, "deployment", "run", "evaluate/evaluate", "--watch"),
            *("-p", "model=shy", "-p", f"overrides={overrides}"),
            *("-p", "page=page.html", "-p", "store=evaluated"),
        )
        assert done.returncode == 0, done.stdout + done.stderr + up.printed
        assert len(server.requests) == 24
    store = Store.open(up.root / "evaluated")
    evaluation = load(store, "evaluation@latest")
    assert (evaluation.model, evaluation.score("f1", "wrong").n) == ("shy", 24)
    assert evaluation.manifest.run.flow_run
    assert "shy" in (up.root / "page.html").read_text(encoding="utf-8")
    page = artifact(up.access, "evaluate")
    assert f"`{evaluation.ref}`: shy on sample, 24 photos" in page
    assert "| protocol | captions | precision |" in page
    assert "clip score |" in page

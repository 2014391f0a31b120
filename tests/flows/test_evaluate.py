"""The flow evaluate: one run of it with its page, and what is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.evaluate import _may_pass, evaluate
from repic.evaluate.captioners import ServerError
from repic.evaluate.results import load
from repic.evaluate.suites import SuiteError
from repic.profiles import ConfigError
from storage.store import Store
from tests.evaluate.servers import nobody, serving


def test_only_what_may_pass_is_tried_again() -> None:
    from prefect.states import Failed

    for error in (SuiteError("x"), ConfigError("x")):
        assert not _may_pass(None, None, Failed(data=error))  # type: ignore[arg-type]
    for passing in (ServerError("x"), ConnectionError("x")):
        assert _may_pass(None, None, Failed(data=passing))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_publishes_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.testing.utilities import prefect_test_harness

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REPIC_HOME", str(tmp_path))
    with serving(nobody) as server, prefect_test_harness(server_startup_timeout=120):
        changes = {"backend": "server", "url": server.url, "protocols": "[wrong]", "photos": 8}
        ref = evaluate(
            "shy",
            overrides=[f"evaluate.{key}={value}" for key, value in changes.items()],
            page="page.html",
            store="store",
        )
    found = load(Store.open(tmp_path / "store"), ref)
    assert found.score("f1", "wrong").value == 1
    assert found.manifest.run.flow_run
    assert "Every caption is right." in (tmp_path / "page.html").read_text(encoding="utf-8")

"""A run whose answers are scored by reward workers, correct or faulty."""

from __future__ import annotations

import io
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from repic.cli.progress import RunProgress
from repic.errors import ConfigError
from repic.rewards.server.client import RetryPolicy
from repic.training import grpo
from repic.training.reward import RemoteReward
from repic.training.run import train
from tests.builds import Built
from tests.rewards.server.workers import HARM, harmful, worker
from tests.trained import Trained
from tests.training.runs import planned, small

QUICK = RetryPolicy(seconds=0.3, total=1.0, tries=2, pause=0.01, failures=2, rest=0.1)


def test_rewards_over_http_are_those_of_this_process(
    built: Built, tiny: str, trained: Trained, tmp_path: Path
) -> None:
    with worker() as url:
        store = built.copy(tmp_path / "store")
        outcome = train(small(tiny, f'train.reward_urls=["{url}"]'), store)
    assert outcome is not None
    assert outcome.rollouts is not None
    assert trained.outcome.rollouts is not None
    # The choice of workers does not change the fingerprint of a run.
    assert outcome.checkpoint.fingerprint == trained.outcome.checkpoint.fingerprint
    order = [("step", "ascending"), ("example_id", "ascending"), ("completion", "ascending")]
    here = trained.store.read(trained.outcome.rollouts.ref).sort_by(order).to_pylist()
    there = store.read(outcome.rollouts.ref).sort_by(order).to_pylist()
    assert len(here) == len(there) > 0
    for a, b in zip(here, there, strict=True):
        assert a["completion"] == b["completion"]
        assert b["reward"] == pytest.approx(a["reward"], abs=1e-6)
        assert b["advantage"] == pytest.approx(a["advantage"], abs=1e-6)
        assert b["reason"] == a["reason"]


@pytest.mark.parametrize("harm", HARM, ids=lambda act: act.__name__)
def test_a_harmful_worker_never_ends_a_run(
    harm: Any, built: Built, tiny: str, work: Path, tmp_path: Path
) -> None:
    store = built.copy(tmp_path / "store")
    with harmful(harm) as url:
        plan, table, config = planned(store, small(tiny, "trainer.max_steps=2"), work)
        session = grpo.prepare(
            plan, table, config, reward=partial(RemoteReward, [url], policy=QUICK)
        )
        with RunProgress(Console(file=(log := io.StringIO()))) as progress:
            session.fit(progress)
    assert "step 1: loss" in log.getvalue()
    assert session.steps == 2
    assert [logs["unscored"] for logs in session.history] == [1.0, 1.0]


def test_a_run_without_a_worker_is_refused_before_the_model_is_loaded(
    built: Built, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpo, "prepare", None)
    store = built.copy(tmp_path / "store")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(ConfigError, match=rf"no reward worker answers at {url} .*repic reward"):
        train(small(tiny, f'train.reward_urls=["{url}"]'), store)
    with worker(token="secret") as url, pytest.raises(ConfigError, match="status 401"):
        train(small(tiny, f'train.reward_urls=["{url}"]'), store)


@pytest.mark.parametrize("url", ["127.0.0.1:8899", "file:///etc/passwd", "http://"])
def test_an_address_that_is_none_is_refused(url: str, tiny: str) -> None:
    with pytest.raises(ConfigError, match="not an address such as"):
        small(tiny, f'train.reward_urls=["{url}"]')

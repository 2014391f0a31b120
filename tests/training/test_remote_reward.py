"""A run whose answers are scored by reward workers, correct or faulty."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from repic.errors import ConfigError
from repic.pipeline.progress import NoProgress
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
        session.fit(NoProgress())
    assert session.steps == 2
    assert [logs["unscored"] for logs in session.history] == [1.0, 1.0]


@pytest.mark.parametrize("url", ["127.0.0.1:8899", "file:///etc/passwd", "http://"])
def test_an_address_that_is_none_is_refused(url: str, tiny: str) -> None:
    with pytest.raises(ConfigError, match="not an address such as"):
        small(tiny, f'train.reward_urls=["{url}"]')

"""Nightly refreshes on a real server and worker: first, refused, unchanged, promoted."""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec

import pytest

from repic.refresh.history import decisions, in_use
from storage.integrity import verify
from storage.store import Store
from tests.flows.up import PREFECT, REPIC, Up
from tests.flows.webhook import webhook

NIGHT = (
    *("source.count=60", "source.identities=16"),
    *("train.prompts_per_step=2", "train.measure.per_objective=0", "trainer.num_generations=4"),
    *("trainer.per_device_train_batch_size=8", "trainer.max_completion_length=64"),
    *("trainer.max_steps=1", "evaluate.photos=40", "evaluate.batch_size=32", "refresh.rows=24"),
    # Few rows give noisy metrics, so the margins are wide.
    *(f"refresh.margins.{name}=0.1" for name in ("false_mention", "binding", "oct", "vlt")),
)


def night(up: Up, *changes: str, where: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    overrides = json.dumps([*NIGHT, *changes])
    done = up.shell(
        *(PREFECT, "deployment", "run", "refresh/refresh", "--watch"),
        *("-p", f"overrides={overrides}", "-p", "profile=sample", "-p", "store=nights"),
        *(word for parameter in where for word in ("-p", parameter)),
    )
    assert done.returncode == 0, done.stdout + done.stderr + up.printed
    return done


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_only_what_is_better_takes_over(shared_up: Up) -> None:
    up = shared_up
    on_dask = ("runner=dask", "workers=1") if find_spec("prefect_dask") else ()
    night(up, where=on_dask)
    store = Store.open(up.root / "nights")
    (first,) = decisions(store)
    assert first.verdict == "first"
    assert in_use(store, "production") == first.candidate == "checkpoint@v1"

    with webhook() as (url, texts):
        done = up.shell(*REPIC, "automations", "apply", "refused", "--notify", url)
        assert done.returncode == 0, done.stderr
        night(up, "train.control=shuffled")
        text = texts.get(timeout=240)
    _, refused = decisions(store)
    assert f"checkpoint@v2 is not promoted: {refused.why}" in text
    assert refused.verdict == "refused"
    assert refused.candidate == "checkpoint@v2"
    gain = next(row for row in refused.rows if row["metric"] == "f1 (mixed)")
    assert not gain["met"]
    assert gain["low"] <= 0 < gain["n"], refused.why
    assert "f1 (mixed)" in refused.why
    assert "not better beyond its interval" in refused.why
    assert in_use(store, "production") == "checkpoint@v1"
    settings = store.manifest("checkpoint@v2").settings["train"]
    assert settings["control"] == "shuffled"
    assert settings["difficulty"]["rollouts"] == "rollouts@v1", "filtered by the first night"

    versions = {name: store.versions(name) for name in store.names()}
    night(up)
    assert {name: store.versions(name) for name in store.names()} == versions
    assert in_use(store, "production") == "checkpoint@v1"

    night(up, "train.model=sample-full")  # a better base model
    better = decisions(store)[-1]
    assert (better.number, better.verdict) == (3, "promoted"), better.why
    assert in_use(store, "production") == better.candidate == "checkpoint@v3"
    assert next(row for row in better.rows if row["metric"] == "f1 (mixed)")["low"] > 0
    assert verify(store) == []

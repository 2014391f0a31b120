"""A killed run resumes with all its answers, or starts from step 0, whatever gc deleted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from repic.pipeline.progress import NoProgress
from repic.training.run import train
from storage import integrity, jobs
from storage.gc import gc
from storage.store import Store
from tests.builds import Built
from tests.trained import Trained
from tests.training.runs import small


class Listens(NoProgress):
    """Collects the messages of a run; interrupts it at step `last`."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.said: list[str] = []

    def step(self, number: int, logs: dict[str, Any]) -> None:
        if number == self.last:
            raise KeyboardInterrupt

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def interrupted(built: Built, tiny: str, tmp_path: Path) -> Store:
    """The run of `trained`, interrupted in its third step, after a checkpoint of the second."""
    store = built.copy(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        train(small(tiny), store, progress=Listens(last=3))
    return store


def again(store: Store, tiny: str) -> str:
    """Messages of the same call, which completes the run."""
    progress = Listens()
    train(small(tiny), store, progress=progress)
    assert integrity.verify(store) == []
    assert jobs.find(store.files) == []
    return "; ".join(progress.said)


def answers(store: Store) -> list[tuple[Any, ...]]:
    rows = store.read("rollouts@latest").to_pylist()
    return [(r["step"], r["sample"], r["example_id"], r["completion"]) for r in rows]


@pytest.mark.slow
def test_gc_leaves_what_a_killed_run_goes_on_with(
    interrupted: Store, tiny: str, trained: Trained
) -> None:
    (parts,) = jobs.find(interrupted.files)[0].keeps
    before = interrupted.files.find("unfinished") | interrupted.files.find(parts)
    garbage = gc(interrupted, delete=True)
    assert garbage.deleted
    [(what, forgotten)] = [(u.job.what, u.forgotten) for u in garbage.unfinished]
    assert what == f"GRPO of {tiny} on examples@v1"
    assert not forgotten
    assert garbage.unfinished[0].bytes == sum(before.values())
    assert interrupted.files.find("unfinished") | interrupted.files.find(parts) == before
    messages = again(interrupted, tiny)
    assert "resuming from step 2" in messages
    assert answers(interrupted) == answers(trained.store)
    assert interrupted.files.find("unfinished") == {}
    gc(interrupted, delete=True)
    assert interrupted.files.find(parts) == {}


@pytest.mark.slow
def test_a_run_that_was_given_up_starts_anew(
    interrupted: Store, tiny: str, trained: Trained
) -> None:
    garbage = gc(interrupted, delete=True, forget=timedelta(0))
    assert [u.forgotten for u in garbage.unfinished] == [True]
    assert interrupted.files.find("unfinished") == interrupted.files.find("parts/rollouts") == {}
    messages = again(interrupted, tiny)
    assert "resuming" not in messages
    assert answers(interrupted) == answers(trained.store)


@pytest.mark.slow
def test_gc_that_was_killed_at_it_leaves_no_run_to_go_on_with(
    interrupted: Store, tiny: str, trained: Trained
) -> None:
    (job,) = jobs.find(interrupted.files)
    interrupted.files.remove(job.card)
    messages = again(interrupted, tiny)
    assert "starting from step 0: `repic gc` deleted what the earlier attempt left" in messages
    assert "resuming" not in messages
    assert answers(interrupted) == answers(trained.store)


@pytest.mark.slow
def test_a_run_whose_answers_are_gone_starts_anew(
    interrupted: Store, tiny: str, trained: Trained
) -> None:
    (recipe,) = (job.id for job in jobs.find(interrupted.files))
    [first] = [p for p in interrupted.parts("rollouts", recipe) if p.covers == ("1",)]
    interrupted.files.remove(first.shard.path)
    messages = again(interrupted, tiny)
    assert "starting from step 0: the answers of 1 earlier steps are missing" in messages
    assert answers(interrupted) == answers(trained.store)

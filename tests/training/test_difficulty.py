"""Selection by difficulty: levels, counts, and a stable choice of rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.config import DifficultySettings
from repic.training.publish import published_before
from repic.training.rollouts import Level, difficulty_levels, thin_out
from repic.training.run import train
from storage.errors import NotFoundError
from storage.lineage import lineage
from tests.builds import Built
from tests.training.runs import small

SETTINGS = DifficultySettings(rollouts="rollouts@v1")


def rollouts(rewards: dict[str, list[float | None]]) -> pa.Table:
    pairs = [(name, value) for name, values in rewards.items() for value in values]
    return pa.table(
        {
            "example_id": [name for name, _ in pairs],
            "reward": pa.array([value for _, value in pairs], pa.float32()),
        }
    )


def test_levels_need_enough_scored_answers() -> None:
    levels = difficulty_levels(
        rollouts(
            {
                "easy": [1.0] * 8,
                "hard": [0.0] * 8,
                "middle": [0.0, 1.0] * 4,
                "nearly": [1.0, 1.0, 1.0, 0.9],
                "few": [1.0, 1.0, 1.0],
                "unscored": [None] * 8,
                "half scored": [1.0, 1.0, 1.0, 1.0, None, None],
            }
        ),
        SETTINGS,
    )
    assert levels == {
        "easy": "easy",
        "hard": "hard",
        "middle": "middle",
        "nearly": "easy",
        "half scored": "easy",
    }


def test_a_share_of_the_too_easy_and_the_too_hard_stays() -> None:
    ids = [f"{k:032x}" for k in range(4000)]
    levels: dict[str, Level] = dict.fromkeys(ids[:2000], "easy")
    levels |= dict.fromkeys(ids[2000:3000], "hard")
    levels |= dict.fromkeys(ids[3000:3500], "middle")
    settings = DifficultySettings(keep_easy=0.25, keep_hard=0.5)
    kept, counts = thin_out(pa.table({"example_id": ids}), levels, settings)
    assert counts["middle"] == {"rows": 500, "kept": 500}
    assert counts["unknown"] == {"rows": 500, "kept": 500}
    assert counts["easy"]["rows"] == 2000
    assert abs(counts["easy"]["kept"] - 500) < 80
    assert abs(counts["hard"]["kept"] - 500) < 80
    assert kept.num_rows == sum(count["kept"] for count in counts.values())


@given(st.sets(st.integers(0, 10**6), min_size=1, max_size=60), st.floats(0, 1), st.floats(0, 1))
def test_more_rows_and_larger_shares_take_nothing_away(
    numbers: set[int], one: float, other: float
) -> None:
    ids = [f"{n:032x}" for n in sorted(numbers)]
    levels: dict[str, Level] = dict.fromkeys(ids, "easy")

    def kept(names: list[str], share: float) -> set[str]:
        settings = DifficultySettings(keep_easy=share)
        table, _ = thin_out(pa.table({"example_id": names}), levels, settings)
        return set(table["example_id"].to_pylist())

    assert kept(ids, min(one, other)) <= kept(ids, max(one, other))
    assert kept(ids[::2], one) == kept(ids, one) & set(ids[::2])
    assert kept(ids, 0) == set()
    assert kept(ids, 1) == set(ids)


@pytest.mark.slow
def test_a_run_says_what_it_left_out(built: Built, tiny: str, work: Path, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    first = train(small(tiny, "trainer.max_steps=2"), store, work=work)
    assert first is not None
    changes = ("trainer.max_steps=2", "train.difficulty.rollouts=rollouts@latest")
    second = train(
        small(tiny, *changes, "train.difficulty.hard=1", "train.difficulty.keep_hard=0"),
        store,
        work=work,
    )
    assert second is not None
    counts = second.checkpoint.notes["difficulty"]
    assert counts["hard"]["kept"] == 0
    assert counts["hard"]["rows"] > 0
    assert second.checkpoint.settings["train"]["difficulty"]["rollouts"] == "rollouts@v1"
    assert second.rollouts is not None
    assert [str(i.ref) for i in second.rollouts.inputs] == ["examples@v1", "rollouts@v1"]
    inputs = [str(i.ref) for i in second.checkpoint.inputs]
    assert inputs == ["examples@v1", "rollouts@v1", "rollouts@v2"]
    edges = lineage(store, "checkpoint@v2").edges
    assert "rollouts@v1" in {str(edge.input) for edge in edges}
    before = set(store.read("rollouts@v1")["example_id"].to_pylist())
    after = set(store.read(second.rollouts.ref)["example_id"].to_pylist())
    assert not before & after
    earlier = published_before(store, second.checkpoint)
    assert earlier.rollouts == second.rollouts


@pytest.mark.slow
def test_answers_that_rows_were_chosen_by_are_not_those_of_a_run_without(
    built: Built, tiny: str, work: Path, tmp_path: Path
) -> None:
    store = built.copy(tmp_path / "store")
    train(small(tiny, "trainer.max_steps=1"), store, work=work)
    changes = ("trainer.max_steps=1", "train.difficulty.rollouts=rollouts@latest")
    made = train(small(tiny, *changes, method="sft"), store, work=work)
    assert made is not None
    assert "rollouts@v1" in [str(i.ref) for i in made.checkpoint.inputs]
    assert published_before(store, made.checkpoint).rollouts is None


def test_rollouts_that_are_not_there_are_told(built: Built, tiny: str, work: Path) -> None:
    with pytest.raises(NotFoundError, match="rollouts"):
        train(small(tiny, "train.difficulty.rollouts=rollouts@v7"), built.store, work=work)

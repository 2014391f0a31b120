"""A few real steps of GRPO on a tiny model: from a dataset version to a checkpoint."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repic import report
from repic.errors import DataError, TrainingStoppedError
from repic.pipeline import catalog
from repic.pipeline.progress import NoProgress
from repic.training import grpo
from repic.training.dataset import epoch_order, select_rows
from repic.training.publish import publish
from repic.training.reward import TrainedReward
from repic.training.run import train
from repic.training.trainers import MarkComplete, complete_checkpoints
from storage.manifest import Run
from tests.builds import Built
from tests.trained import Trained
from tests.training.runs import planned, small


def test_a_run_leaves_a_checkpoint_and_its_rollouts(trained: Trained) -> None:
    outcome, store = trained.outcome, trained.store
    assert outcome.published
    assert outcome.rollouts is not None
    assert store.manifest("checkpoint@latest") == outcome.checkpoint
    assert store.manifest("rollouts@latest") == outcome.rollouts
    names = {file.name for file in outcome.checkpoint.files}
    assert names >= {
        *("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "settings.json"),
        *("log.json", "measured.json", "curves.png", "training.html", "trainer.json"),
    }
    inputs = {bound.name: str(bound.ref) for bound in outcome.checkpoint.inputs}
    assert inputs == {"examples": "examples@v1", "rollouts": "rollouts@v1"}
    assert outcome.checkpoint.models["base"]["fingerprint"]
    assert outcome.checkpoint.notes["steps"] == 3
    assert outcome.checkpoint.notes["stopped"] is None
    assert list((Path(store.location) / "unfinished").iterdir()) == []


def test_every_answer_is_a_row_of_rollouts(trained: Trained) -> None:
    answers = trained.store.read("rollouts@latest").to_pylist()
    assert [(r["step"], r["group"], r["sample"]) for r in answers] == [
        (step, 0, sample) for step in (1, 2, 3) for sample in range(4)
    ]
    groups = defaultdict(list)
    for row in answers:
        groups[row["step"]].append(row)
    for group in groups.values():
        assert len({row["example_id"] for row in group}) == 1
        rewards = [row["reward"] for row in group]
        spread = statistics.stdev(rewards) + 1e-4
        for row in group:
            expected = (row["reward"] - statistics.mean(rewards)) / spread
            assert row["advantage"] == pytest.approx(expected, abs=1e-3)
            assert row["truncated"] == (row["length"] == 6) or row["length"] <= 6
            assert row["components"]
            assert row["reason"]


def test_rollouts_answer_in_sql(trained: Trained, tmp_path: Path) -> None:
    path = catalog.refresh(trained.store, tmp_path / "catalog.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        asked = "select objective, step, avg(reward) from rollouts group by all order by step"
        assert [row[1] for row in connection.sql(asked).fetchall()] == [1, 2, 3]
        joined = "select count(*) from rollouts join examples using (example_id)"
        assert connection.sql(joined).fetchall() == [(12,)]
        parts = "select components['format'] from rollouts where objective <> 'ict'"
        connection.sql(parts).fetchall()


PAGE = Path(__file__).parents[2] / "docs" / "training.md"
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_page_runs(query: str, trained: Trained, tmp_path: Path) -> None:
    path = catalog.refresh(trained.store, tmp_path / "catalog.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.sql(query).fetchall()


def test_the_same_run_again_trains_nothing(trained: Trained) -> None:
    settings = small(trained.outcome.checkpoint.models["base"]["name"])
    again = train(settings, trained.store)
    assert again is not None
    assert not again.published
    assert again.checkpoint == trained.outcome.checkpoint
    assert again.changes == trained.outcome.changes


def test_held_out_rows_are_measured_before_and_after(trained: Trained) -> None:
    changes = trained.outcome.changes
    assert {(c.how, c.objective) for c in changes} == {
        (how, objective)
        for how in ("greedy", "sampled")
        for objective in ("oct", "vlt", "ict", "all")
    }
    for change in changes:
        assert change.low <= change.difference <= change.high
    page = next(f for f in trained.outcome.checkpoint.files if f.name == "training.html")
    text = trained.store.files.read(page.path).decode()
    assert "Before and after" in text
    assert "data:image/png;base64," in text


def test_the_report_of_a_checkpoint_is_the_page_of_its_run(
    trained: Trained, tmp_path: Path
) -> None:
    path = report.write(trained.store, "checkpoint@latest", tmp_path / "run.html")
    assert "Before and after" in path.read_text()


class Longest(TrainedReward):
    """Alternating rewards, from which even a random model gets a gradient."""

    ablation = staticmethod(lambda rows, rewards: [index % 2.0 for index in range(len(rows))])


def test_the_adapter_learns_and_nothing_else_moves(built: Built, tiny: str, work: Path) -> None:
    asked = small(tiny, "trainer.max_steps=2", "trainer.learning_rate=1e-2")
    plan, table, config = planned(built.copy(work / "store"), asked, work)
    session = grpo.prepare(plan, table, config, reward=Longest)
    before = {name: value.clone() for name, value in session.model.named_parameters()}
    with plan.store.lease():
        session.fit(NoProgress())
    moved = {n for n, v in session.model.named_parameters() if not torch.equal(v, before[n])}
    assert moved
    assert all(".lora_" in name and "language_model" in name for name in moved)
    trainable = {n for n, v in session.model.named_parameters() if v.requires_grad}
    kinds = {name.split(".lora_")[0].rpartition(".")[2] for name in trainable}
    assert kinds == {f"{k}_proj" for k in ("q", "k", "v", "o", "gate", "up", "down")}
    logs = json.loads(json.dumps(session.history))
    assert [entry["step"] for entry in logs] == [1, 2]
    assert all(entry["grad_norm"] > 0 for entry in logs)


def test_a_guard_ends_a_run_and_latest_stays(built: Built, tiny: str, work: Path) -> None:
    asked = small(
        *(tiny, "train.guards.kl=1e-9", "train.guards.window=1", "trainer.max_steps=9"),
        *("trainer.learning_rate=1e-2", "trainer.beta=0.1"),
    )
    plan, table, config = planned(built.copy(work / "store"), asked, work)
    session = grpo.prepare(plan, table, config, reward=Longest)
    with plan.store.lease():
        session.fit(NoProgress())
    assert session.steps < 9
    made = publish(session, None, None, Run.here())
    assert "train.guards.kl=1e-09" in made.checkpoint.notes["stopped"]
    with pytest.raises(TrainingStoppedError, match=r"its adapter in checkpoint@v1, and latest did"):
        train(asked, plan.store, work=work)
    assert plan.store.current().of("checkpoint").latest is None


def test_a_run_whose_weights_are_lost_ends_with_its_reason(
    built: Built, tiny: str, work: Path
) -> None:
    # With torch before 2.8 another optimizer is the default, which refuses such a rate itself.
    optimizer = "trainer.optim=adamw_torch_fused"
    asked = small(tiny, "trainer.learning_rate=1e38", "trainer.max_steps=9", optimizer)
    store = built.copy(work / "store")
    for _ in range(2):  # the second finds the first
        with pytest.raises(TrainingStoppedError, match=r"finite: lower trainer\.learning_rate"):
            train(asked, store, work=work)
    assert store.read("rollouts@v1").num_rows
    assert store.versions("checkpoint") == [1]
    assert store.manifest("checkpoint@v1").notes["changes"] == []


def test_a_checkpoint_with_folders_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-3"
    (folder / "global_step3").mkdir(parents=True)
    (folder / "global_step3" / "states.pt").write_bytes(b"x")
    state = SimpleNamespace(global_step=3, is_world_process_zero=True)
    MarkComplete().on_save(SimpleNamespace(output_dir=str(tmp_path)), state, None)
    assert complete_checkpoints(tmp_path) == [folder]


def test_too_few_rows_for_a_batch_are_refused_with_the_number(
    built: Built, tiny: str, work: Path
) -> None:
    asked = small(tiny, "train.prompts_per_step=6400")
    plan, table, config = planned(built.store, asked, work)
    with pytest.raises(DataError, match=r"takes 6400 different prompts .*give at least 6400 rows"):
        grpo.prepare(plan, table, config)


@pytest.mark.parametrize(
    ("epochs", "steps", "count"), [("2.0", "-1", None), ("1.0", "7", 7), ("0.5", "-1", None)]
)
def test_epochs_are_laid_out_in_whole_batches(
    epochs: str, steps: str, count: int | None, built: Built, tiny: str, work: Path
) -> None:
    asked = small(tiny, f"trainer.num_train_epochs={epochs}", f"trainer.max_steps={steps}")
    _, table, config = planned(built.store, asked, work)
    expected = count or int(float(epochs) * table.num_rows)
    assert grpo.prompt_count(config, table.num_rows) == expected


@pytest.mark.parametrize("epochs", [0.25, 0.5, 1.0])
def test_a_part_of_an_epoch_takes_that_part_of_the_rows(
    epochs: float, built: Built, tiny: str, work: Path
) -> None:
    asked = small(tiny, f"trainer.num_train_epochs={epochs}", "trainer.max_steps=-1")
    plan, table, config = planned(built.store, asked, work)
    count = grpo.prompt_count(config, table.num_rows)
    batch = config.generation_batch_size // config.num_generations
    assert epochs * table.num_rows - batch < count <= epochs * table.num_rows
    selected = select_rows(table, {}, count, config.seed)
    session = grpo.prepare(plan, selected, config)
    assert abs(session.trainer.train_dataset.num_rows - count) <= 2 * batch


def test_the_order_of_an_epoch_is_its_own() -> None:
    table = listed({"oct": 20})
    places = epoch_order(table, 50, seed=1)
    assert sorted(places[:20]) == sorted(places[20:40]) == list(range(20))
    assert places[:20] != places[20:40]
    assert places == epoch_order(table, 50, seed=1)
    assert places != epoch_order(table, 50, seed=2)
    assert places[:30] == epoch_order(table, 30, seed=1)


def test_every_stretch_of_an_epoch_sees_each_objective() -> None:
    table = listed({"oct": 40, "vlt": 20, "ict": 20})
    objectives = table["objective"].to_pylist()
    places = epoch_order(table, 160, seed=3)
    for start in range(0, 160, 8):
        met = Counter(objectives[index] for index in places[start : start + 8])
        assert 3 <= met["oct"] <= 5
        assert min(met["vlt"], met["ict"]) > 0


@given(
    st.dictionaries(st.sampled_from(["oct", "vlt", "ict"]), st.integers(1, 40), min_size=1),
    st.dictionaries(st.sampled_from(["oct", "vlt", "ict"]), st.floats(0.1, 5)),
    st.integers(1, 120),
)
def test_chosen_rows_have_the_shares_that_were_asked_for(
    sizes: dict[str, int], shares: dict[str, float], count: int
) -> None:
    table = listed(sizes)
    if shares and not shares.keys() & sizes.keys():
        with pytest.raises(DataError, match=r"train\.shares"):
            select_rows(table, shares, count, seed=0)
        return
    kept = select_rows(table, shares, count, seed=0)
    ids = kept["example_id"].to_pylist()
    assert ids == sorted(set(ids))
    met = Counter(kept["objective"].to_pylist())
    wanted = {o: s for o, s in (shares or sizes).items() if o in sizes}
    whole = sum(wanted.values())
    total = min(count, *(sizes[o] * whole / share for o, share in wanted.items()))
    for objective in sizes:
        share = wanted.get(objective, 0) / whole
        assert abs(met[objective] - total * share) <= 1 + 1e-9
    assert kept.num_rows >= int(total - 1e-6)
    assert kept.equals(select_rows(table, shares, count, seed=0))


def test_equal_shares_of_the_rows_of_one_step_are_all_of_them() -> None:
    shares = dict.fromkeys(("oct", "vlt", "ict"), 1 / 3)
    for count in (4, 7, 8, 10):
        assert (
            select_rows(listed(dict.fromkeys(shares, 9)), shares, count, seed=0).num_rows == count
        )


def listed(sizes: dict[str, int]) -> pa.Table:
    """The given number of rows of each objective, in the order of their ids."""
    objectives = [o for o, size in sizes.items() for _ in range(size)]
    return pa.table(
        {"example_id": [f"{n:032x}" for n in range(len(objectives))], "objective": objectives}
    )

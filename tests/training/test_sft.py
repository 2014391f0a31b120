"""SFT: loss on answers only, nothing truncated, rows without a known caption left out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from repic.errors import DataError
from repic.models.vlm import load
from repic.objectives.rows import examples_of, read
from repic.pipeline.progress import NoProgress
from repic.rewards.gold import gold_answer
from repic.training import sft
from tests.builds import Built
from tests.training.runs import planned, small


def test_a_few_steps_learn_the_answers(built: Built, tiny: str, work: Path) -> None:
    asked = small(tiny, "trainer.learning_rate=1e-2", "trainer.max_steps=8", method="sft")
    plan, table, config = planned(built.copy(work / "store"), asked, work)
    session = sft.prepare(plan, table, config)
    with plan.store.lease():
        session.fit(NoProgress())
    losses = [entry["loss"] for entry in session.history]
    assert len(losses) == 8
    assert sum(losses[-3:]) < sum(losses[:3])
    assert session.notes["rows"] + session.notes["left_out_without_caption"] == table.num_rows


def test_the_loss_is_on_the_answer_alone(built: Built, tiny: str, work: Path) -> None:
    plan, table, config = planned(built.copy(work / "store"), small(tiny, method="sft"), work)
    session = sft.prepare(plan, table, config)
    data = session.trainer.train_dataset
    chosen = list(range(0, len(data), max(1, len(data) // 8)))[:8]
    batch = session.trainer.data_collator([data[index] for index in chosen])
    tokenizer = plan.reader.processor.tokenizer
    rows = sft.answered_rows(table).take(chosen).to_pylist()
    for labels, row in zip(batch["labels"], rows, strict=True):
        text = tokenizer.decode(labels[labels >= 0], skip_special_tokens=True)
        assert text.strip() == gold_answer(row, plan.reader.convention)
    tokens = (batch["input_ids"] == plan.reader.config.image_token_id).sum()
    assert tokens == batch["image_grid_thw"].prod(dim=1).sum() // 4, "no picture was cut"


def test_captions_that_are_not_known_are_left_out(built: Built) -> None:
    store = built.store
    table = read(store, examples_of(store, "examples@latest"), "train")
    unknown = table.set_column(
        table.schema.get_field_index("caption"),
        table.schema.field("caption"),
        pa.nulls(table.num_rows, pa.string()),
    )
    left = sft.answered_rows(unknown)
    kinds = set(zip(left["objective"].to_pylist(), left["kind"].to_pylist(), strict=True))
    assert {kind for objective, kind in kinds if objective == "ict"} <= {"which"}
    assert {objective for objective, _ in kinds} >= {"oct", "vlt"}


def test_nothing_to_learn_from_is_refused(built: Built, tiny: str, work: Path) -> None:
    plan, table, config = planned(built.store, small(tiny, method="sft"), work)
    with pytest.raises(DataError, match="use --method grpo"):
        sft.prepare(plan, table.slice(0, 0), config)
    assert load.reader(tiny).fingerprint == plan.reader.fingerprint

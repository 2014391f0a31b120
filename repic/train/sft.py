"""SFT on the same rows: TRL's trainer on the true answers, the comparison to learning by reward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from repic.errors import DataError
from repic.images.coordinates import Convention
from repic.models.vlm import load
from repic.objectives.identify import KIND as WHICH
from repic.rewards.gold import gold_answer
from repic.train import rows
from repic.train.guards import Guard
from repic.train.plan import Plan
from repic.train.session import Job, callbacks
from repic.train.trainers import Sft

if TYPE_CHECKING:
    from trl import SFTConfig


def prepare(plan: Plan, table: pa.Table, config: SFTConfig) -> Job:
    """An SFT trainer that is ready to go; the loss is on the answers only.

    Caption rows without a known caption have no true answer, and are left out with a count.

    Raises:
        DataError: no row has a true answer.
        WeightsError: the model's weights cannot be read.
    """
    known = answered(table)
    if not known.num_rows:
        raise DataError("no row has a true answer: captions are not known, use --method grpo")
    train = plan.settings.train
    model = load.load(plan.reader, lower=bool(config.bf16))
    guard = Guard(train.guards, finite_only=True)
    trainer = Sft(
        model=model,
        args=config,
        train_dataset=_dataset(known, plan.reader.convention),
        processing_class=plan.reader.processor,
        peft_config=load.lora_config(train.lora),
        callbacks=callbacks(guard),
    )
    left_out = table.num_rows - known.num_rows
    return Job(
        plan,
        trainer,
        guard,
        notes={"rows": known.num_rows, "left_out_without_caption": left_out},
    )


def answers_of(config: SFTConfig, rows: int) -> int:
    """How many true answers a run reads at most: `max_steps`, or all rows."""
    if config.max_steps <= 0:
        return rows
    return (
        config.max_steps
        * config.train_batch_size
        * config.gradient_accumulation_steps
        * config.world_size
    )


def answered(table: pa.Table) -> pa.Table:
    """Rows of which the true answer is known."""
    is_caption = pc.and_(pc.equal(table["objective"], "ict"), pc.not_equal(table["kind"], WHICH))
    return table.filter(pc.or_(pc.invert(is_caption), pc.is_valid(table["caption"])))


def _dataset(table: pa.Table, convention: Convention) -> Any:
    import datasets

    made = datasets.Dataset(table.replace_schema_metadata(None))
    return made.with_transform(Answered(convention))


class Answered(rows.Shown):
    """Rows with their true answers as a turn of the assistant."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        shown = super().__call__(batch)
        return {
            "prompt": shown["prompt"],
            "images": shown["images"],
            "completion": [
                [{"role": "assistant", "content": gold_answer(row, self.convention)}]
                for row in shown["row"]
            ],
        }

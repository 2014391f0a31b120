"""SFT: TRL's trainer on the true answers of the same rows, to compare with GRPO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from repic.config import ResizeSettings
from repic.errors import DataError
from repic.images.coordinates import Convention
from repic.objectives import objective_of
from repic.rewards.gold import gold_answer
from repic.training.dataset import PromptTransform
from repic.training.guards import TrainingGuard
from repic.training.plan import TrainingPlan
from repic.training.session import TrainingSession, callbacks, trainable
from repic.training.trainers import RepicSFTTrainer

if TYPE_CHECKING:
    from trl import SFTConfig


def prepare(plan: TrainingPlan, table: pa.Table, config: SFTConfig) -> TrainingSession:
    """An SFT trainer, ready to fit; the loss is on the answers only.

    Caption rows without a known caption have no true answer: they are left out and counted.

    Raises:
        DataError: no row has a true answer.
        WeightsError: the model's weights cannot be read.
    """
    answered = answered_rows(table)
    if not answered.num_rows:
        raise DataError("no row has a true answer: captions are not known, use --method grpo")
    train = plan.settings.train
    model, adapter = trainable(plan, config)
    guard = TrainingGuard(train.guards, finite_only=True)
    trainer = RepicSFTTrainer(
        model=model,
        args=config,
        train_dataset=_answers(answered, plan.reader.convention, train.resize),
        processing_class=plan.reader.processor,
        peft_config=adapter,
        callbacks=callbacks(guard),
    )
    left_out = table.num_rows - answered.num_rows
    notes = {"rows": answered.num_rows, "left_out_without_caption": left_out}
    return TrainingSession(plan, trainer, guard, notes=notes)


def answer_count(config: SFTConfig, rows: int) -> int:
    """Maximum number of true answers that a run reads: by `max_steps`, or all rows."""
    if config.max_steps <= 0:
        return rows
    return (
        config.max_steps
        * config.train_batch_size
        * config.gradient_accumulation_steps
        * config.world_size
    )


def answered_rows(table: pa.Table) -> pa.Table:
    """Rows whose true answer is known."""
    rows = table.select(["objective", "kind", "answer", "caption"]).to_pylist()
    return table.filter(
        pa.array([objective_of(r["objective"]).has_gold(r) for r in rows], pa.bool_())
    )


def _answers(table: pa.Table, convention: Convention, resize: ResizeSettings) -> Any:
    import datasets

    rows = datasets.Dataset(table.replace_schema_metadata(None))
    return rows.with_transform(_AnswerTransform(convention, resize))


class _AnswerTransform(PromptTransform):
    """Adds the true answer of each row as a turn of the assistant."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        prompts = super().__call__(batch)
        return {
            "prompt": prompts["prompt"],
            "images": prompts["images"],
            "completion": [
                [{"role": "assistant", "content": gold_answer(row, self.convention)}]
                for row in prompts["row"]
            ],
        }

"""Small real training runs for tests: a tiny random model on the rows of the shared build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from repic import config
from repic.config import Settings
from repic.models.vlm import load
from repic.objectives.rows import examples_of, read
from repic.training.plan import TrainingPlan
from repic.training.trainer_defaults import trainer_config
from storage.store import Store

PLAIN = "photos"
"""A profile without training sections: the defaults apply."""

SMALL = (
    *("train.measure.per_objective=2", "train.measure.batch_size=6", "train.lora.rank=2"),
    "train.measure.max_new_tokens=6",
    *("trainer.num_generations=4", "trainer.per_device_train_batch_size=4"),
    *("train.prompts_per_step=1", "trainer.max_completion_length=6"),
    *("trainer.max_steps=3", "trainer.save_steps=2", "trainer.use_cpu=true"),
)


def small(model: str, *overrides: str, method: str = "grpo") -> Settings:
    """Settings of a run of three steps; SFT has no groups and samples nothing."""
    fields = ("num_generations", "max_completion_length")
    kept = [s for s in SMALL if method == "grpo" or not any(f in s for f in fields)]
    return config.load(PLAIN, [*kept, *overrides], train={"model": model, "method": method})


def planned(store: Store, asked: Settings, work: Path) -> tuple[TrainingPlan, Any, Any]:
    """The plan of a run, its rows, and TRL's config."""
    examples = examples_of(store, "examples@latest")
    reader = load.reader(asked.train.model, asked.train.boxes)
    plan = TrainingPlan.create(asked, store, examples, reader, work)
    config = trainer_config(asked, plan.output)
    return plan, read(store, examples, asked.train.split), config

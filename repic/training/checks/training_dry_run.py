"""What a training run would do, before it starts: rows, model, packages, steps and batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from repic.config import Settings
from repic.errors import RepicError
from repic.models.vlm import load
from repic.objectives.rows import examples_of, read
from repic.pipeline.doctor import Finding
from repic.training import rollouts
from repic.training.dataset import select_rows
from storage.store import Store


def examine(settings: Settings, store: Store, dataset: str) -> list[Finding]:
    """Check rows, model and trainer; loads no weights and writes nothing into the store.

    Raises:
        DataError, StoreError: there are no rows.
    """
    settings = rollouts.pin_version(settings, store)
    examples = examples_of(store, dataset)
    rows = read(store, examples, settings.train.split)
    counts = Counter(rows["objective"].to_pylist())
    listed = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    found = f"{examples.ref}, {settings.train.split}: {listed}"
    taught, _ = rollouts.select_by_difficulty(store, rows, settings.train.difficulty)
    return [Finding("ok", "rows", found), *_model(settings), *_trainer(settings, taught)]


def _model(settings: Settings) -> Iterator[Finding]:
    train = settings.train
    try:
        load.LoadOptions.of(train, bfloat16=False).check()
        reader = load.reader(train.model, train.boxes, pixels=load.PixelLimits.of(train))
    except RepicError as error:
        yield Finding("error", "model", str(error), "give another with --model, or download it")
        return
    kind = type(reader.config).__name__.removesuffix("Config")
    yield Finding("ok", "model", f"{train.model}: {kind}, boxes as {reader.convention.name}")


def _trainer(settings: Settings, rows: pa.Table) -> Iterator[Finding]:
    """Steps and batches; rows are selected as `repic.training.run` does."""
    from trl import GRPOConfig

    from repic.training.grpo import prompt_count
    from repic.training.sft import answer_count, answered_rows
    from repic.training.trainer_defaults import trainer_config

    try:
        with TemporaryDirectory() as folder:
            config = trainer_config(settings, Path(folder))
            shares = settings.train.shares
            if isinstance(config, GRPOConfig):
                count, group = prompt_count(config, rows.num_rows), config.num_generations or 1
                kept = select_rows(rows, shares, count, config.seed)
                answers = prompt_count(config, kept.num_rows, selected=True) * group
                what = f"answers in groups of {group}"
            else:
                count = answer_count(config, rows.num_rows)
                kept = answered_rows(select_rows(rows, shares, count, config.seed))
                answers = round(kept.num_rows * config.num_train_epochs)
                what = "true answers"
    except RepicError as error:
        yield Finding("error", "trainer", str(error), "change the setting that it names")
        return
    at_once, times = config.per_device_train_batch_size, config.gradient_accumulation_steps
    per_step = at_once * times * config.world_size
    steps = config.max_steps if config.max_steps > 0 else max(1, answers // per_step)
    yield Finding(
        "ok",
        "trainer",
        f"{settings.train.method.upper()}, about {steps} steps of {per_step} {what}: {at_once} at "
        f"once on each of {config.world_size} processes, {times} times; rate "
        f"{config.learning_rate:g}",
    )

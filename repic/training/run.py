"""A training run from top to bottom: a dataset version in, a checkpoint and its rollouts out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.config import Settings
from repic.errors import DataError, TrainingStoppedError
from repic.models.vlm import checkpoints, load
from repic.objectives import in_order
from repic.objectives.base import Row
from repic.objectives.rows import balanced, examples_of, read
from repic.pipeline import failures
from repic.pipeline.progress import NoProgress, Progress
from repic.training import reward, rollouts, sharding
from repic.training.checks import preflight
from repic.training.dataset import reduced_row, select_rows
from repic.training.plan import TrainingPlan
from repic.training.publish import TrainingResult, publish, published_before
from storage.manifest import Run
from storage.store import Store

if TYPE_CHECKING:
    from repic.rewards.held_out import Measured
    from repic.training.session import TrainingSession

TRIED_ROWS = 4
"""Rows that reward workers score before a run, to see that they answer."""


def train(
    settings: Settings,
    store: Store,
    dataset: str = "examples@latest",
    progress: Progress | None = None,
    run: Run | None = None,
    work: Path | None = None,
) -> TrainingResult | None:
    """Train on a dataset version; the same call resumes an interrupted run.

    Every process of an `accelerate launch` calls this; the main one publishes.

    Args:
        dataset: A version of examples, or of a dataset.
        work: Folder of the trainer's own checkpoints; by default in the store if that is local.

    Returns:
        The published versions; None in a process that is not the main one.

    Raises:
        ConfigError, DataError, PreflightError, StoreError, WeightsError: errors that the user can
            fix, before training starts.
        TrainingStoppedError: a guard stopped the run; its versions are published, and `latest`
            does not move.
    """
    progress = progress or NoProgress()
    settings = rollouts.pin_version(settings, store)
    examples = examples_of(store, dataset)
    load.LoadOptions.of(settings.train, bfloat16=False).check()
    pixels = load.PixelLimits.of(settings.train)
    reader = load.reader(settings.train.model, settings.train.boxes, pixels=pixels)
    plan = TrainingPlan.create(settings, store, examples, reader, work)
    if checkpoint := store.find(checkpoints.NAME, plan.fingerprint):
        result: TrainingResult | None = published_before(store, checkpoint)
    else:
        run = run or Run.here()
        told = failures.recorded(store, run, "train") if plan.is_main else nullcontext()
        with told, store.lease():
            result = _train(plan, progress, run)
    if result is None:
        return None
    if plan.is_main:
        plan.clean_up()
    if reason := result.checkpoint.notes.get("stopped"):
        answers = f"its answers are in {result.rollouts.ref}, " if result.rollouts else ""
        raise TrainingStoppedError(
            f"training was stopped at {reason}; {answers}its adapter in {result.checkpoint.ref}, "
            "and latest did not move",
            str(result.checkpoint.ref),
        )
    if not plan.is_main:
        return None
    versions = {m.name: m.version for m in (result.checkpoint, result.rollouts) if m}
    store.commit(versions)
    failures.clear(store, "train")
    return result


def _train(plan: TrainingPlan, progress: Progress, run: Run) -> TrainingResult | None:
    """Select rows, check them, measure, train, measure again, publish."""
    from trl import GRPOConfig

    from repic.training.grpo import prompt_count
    from repic.training.sft import answer_count
    from repic.training.trainer_defaults import trainer_config

    train = plan.settings.train
    config = trainer_config(plan.settings, plan.output)
    table = read(plan.store, plan.examples, train.split)
    table, levels = rollouts.select_by_difficulty(plan.store, table, train.difficulty)
    for level, counts in levels.items():
        progress.message(
            f"{level} by {train.difficulty.rollouts}: {counts['kept']} of {counts['rows']}"
        )
    if isinstance(config, GRPOConfig):
        count = prompt_count(config, table.num_rows)  # refuses too few rows before any slow step
    else:
        count = answer_count(config, table.num_rows)
    table = select_rows(table, train.shares, count, config.seed)
    wanted = [o for o in in_order(train.shares) if not train.shares or train.shares.get(o, 0) > 0]
    missing = sorted(set(wanted) - set(table["objective"].to_pylist()))
    if missing:
        progress.message(f"{plan.examples.ref} has no rows of {', '.join(missing)} to train on")
    held_out = _held_out_rows(plan, progress)
    if isinstance(config, GRPOConfig):
        reward.check_workers(train, plan.reader.convention, table.slice(0, TRIED_ROWS).to_pylist())
    rows = [reduced_row(row, train.resize) for row in table.to_pylist()]
    _check([*rows, *held_out], plan, progress)
    session = _prepare(plan, table, config)
    session.notes |= {"difficulty": levels} if levels else {}
    session.notes |= {"objectives_without_rows": missing} if missing else {}
    before = session.fit(
        progress, lambda: _measure(session, held_out, progress, "before", trained=False)
    )
    after = None
    if session.guard.finite:  # a model with NaN weights cannot generate
        after = _measure(session, held_out, progress, "after", trained=True)
    weights = session.whole_weights()
    result = publish(session, before, after, run, weights) if plan.is_main else None
    session.trainer.accelerator.wait_for_everyone()
    return result


def _prepare(plan: TrainingPlan, table: Any, config: Any) -> TrainingSession:
    """The trainer of the plan's method; errors as `grpo.prepare` and `sft.prepare`."""
    if plan.settings.train.method == "grpo":
        from repic.training import grpo

        return grpo.prepare(plan, table, config)
    from repic.training import sft

    return sft.prepare(plan, table, config)


def _held_out_rows(plan: TrainingPlan, progress: Progress) -> list[Row]:
    """Rows to measure the model on; none, with a message, if the split has no rows."""
    measured = plan.settings.train.measure
    if not measured.per_objective:
        return []
    try:
        table = read(plan.store, plan.examples, measured.split)
    except DataError as error:
        progress.message(f"nothing is measured: {error}")
        return []
    resize = plan.settings.train.resize
    return [reduced_row(row, resize) for row in balanced(table, measured.per_objective)]


def _check(rows: Sequence[Row], plan: TrainingPlan, progress: Progress) -> None:
    """Preflight of all rows, shared among the processes.

    Raises:
        PreflightError: some rows cannot be trained on.
    """
    from accelerate.utils import gather_object

    own_rows = rows[plan.rank :: plan.processes]
    progress.phase("preflight", len(own_rows))
    train = plan.settings.train
    problems = preflight.examine(
        own_rows, plan.reader, train.max_prompt_tokens, train.mode, progress.advance
    )
    preflight.refuse(gather_object(problems), len(rows))


def _measure(
    session: TrainingSession,
    held_out: Sequence[Row],
    progress: Progress,
    name: str,
    trained: bool,
) -> Measured | None:
    """Scored answers to the held-out rows, shared among the processes; None without rows.

    Args:
        trained: With the adapter, or the base model alone; all weights are still those of the base
            model before training.
    """
    from accelerate.utils import gather_object

    from repic.models.vlm.generate import AnswerGenerator
    from repic.rewards.held_out import Measured, measure_answers

    if not held_out:
        return None
    plan = session.plan
    model = session.model
    if not session.is_divided:
        model = model.to(session.trainer.accelerator.device)  # DeepSpeed moves it late
    generator = AnswerGenerator(
        plan.reader.processor,
        plan.reader.convention,
        plan.settings.train.measure.batch_size,
        getattr(session.trainer.args, "max_completion_length", None)
        or plan.settings.train.measure.max_new_tokens,
        suppress=(plan.reader.config.image_token_id,),
        ends=load.ends_of(model, plan.reader.processor.tokenizer),
    )
    own_rows = sharding.equal_share(held_out, plan.rank, plan.processes)
    progress.phase(f"measure {name}", 2 * len(own_rows))
    has_adapter = hasattr(model, "disable_adapter")
    with model.disable_adapter() if has_adapter and not trained else nullcontext():
        measured = measure_answers(
            generator,
            model,
            own_rows,
            seed=plan.rank,
            tick=progress.advance,
            strip=plan.settings.rewards.strip,
        )
        sharding.release(model)
    gathered = gather_object(list(zip(measured.greedy, measured.sampled, strict=True)))
    once = {pair[0].example_id: pair for pair in reversed(gathered)}
    pairs = sorted(once.values(), key=lambda pair: (pair[0].objective, pair[0].example_id))
    return Measured(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))

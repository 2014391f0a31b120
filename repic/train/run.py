"""A training run from top to bottom: a dataset version in, a checkpoint and its rollouts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repic.config.train import Training
from repic.errors import DataError, TrainingStoppedError
from repic.models.vlm import checkpoints, load
from repic.objectives import OBJECTIVES
from repic.objectives.base import Row
from repic.objectives.rows import balanced, examples_of, read
from repic.train import difficulty, preflight, publishing, rows
from repic.train.plan import Plan, Silent, Watch
from storage.manifest import Manifest, Run
from storage.store import Store

if TYPE_CHECKING:
    from repic.rewards.held_out import Measured, RewardChange
    from repic.train.session import Job


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        rollouts: None for a method that samples nothing.
        published: False if the same run was made before.
        changes: Held-out rewards before and after; empty if nothing was measured.
    """

    checkpoint: Manifest
    rollouts: Manifest | None
    published: bool
    changes: tuple[RewardChange, ...]


def train(
    settings: Training,
    store: Store,
    dataset: str = "examples@latest",
    watch: Watch | None = None,
    run: Run | None = None,
    work: Path | None = None,
) -> Outcome | None:
    """Train on a dataset version; call it again after an interruption and it goes on.

    Every process of an `accelerate launch` calls this; the main one publishes.

    Args:
        dataset: A version of examples, or of a dataset.
        work: Folder of the trainer's own checkpoints; by default in the store if that is local.

    Returns:
        What came of it; None in a process that is not the main one.

    Raises:
        ConfigError, DataError, PreflightError, StoreError, WeightsError: what a person can mend,
            before anything was trained.
        TrainingStoppedError: a guard ended it; versions were published, `latest` did not move.
    """
    watch = watch or Silent()
    settings = difficulty.exact(settings, store)
    examples = examples_of(store, dataset)
    reader = load.reader(settings.train.model, settings.train.boxes)
    plan = Plan.of(settings, store, examples, reader, work)
    if known := store.find(checkpoints.NAME, plan.fingerprint):
        outcome = publishing.known(store, known)
    else:
        with store.lease():
            made = _train(plan, watch, run or Run.here())
        if made is None:
            return None
        outcome = made
    if plan.is_main:
        plan.end()
    if why := outcome.checkpoint.notes.get("stopped"):
        answers = f"its answers are in {outcome.rollouts.ref}, " if outcome.rollouts else ""
        raise TrainingStoppedError(
            f"training was stopped at {why}; {answers}its adapter in {outcome.checkpoint.ref}, "
            "and latest did not move",
            str(outcome.checkpoint.ref),
        )
    if not plan.is_main:
        return None
    versions = {m.name: m.version for m in (outcome.checkpoint, outcome.rollouts) if m}
    current = store.current()
    if any(current.of(name).latest != v for name, v in versions.items()):
        store.commit(versions)
    return outcome


def _train(plan: Plan, watch: Watch, run: Run) -> Outcome | None:
    from trl import GRPOConfig

    from repic.train.grpo import prompts_of
    from repic.train.sft import answers_of
    from repic.train.trainer_defaults import trainer_config

    train = plan.settings.train
    config = trainer_config(plan.settings, plan.output)
    table = read(plan.store, plan.examples, train.split)
    table, levels = difficulty.applied(plan.store, table, train.difficulty)
    for level, counts in levels.items():
        watch.say(f"{level} by {train.difficulty.rollouts}: {counts['kept']} of {counts['rows']}")
    if isinstance(config, GRPOConfig):
        asked = prompts_of(config, table.num_rows)  # refuses too few rows before all that is slow
    else:
        asked = answers_of(config, table.num_rows)
    table = rows.chosen(table, train.shares, asked, config.seed)
    wanted = [o for o in OBJECTIVES if not train.shares or train.shares.get(o, 0) > 0]
    missing = sorted(set(wanted) - set(table["objective"].to_pylist()))
    if missing:
        watch.say(f"{plan.examples.ref} has no rows of {', '.join(missing)} to train on")
    held_out = held_out_rows(plan, watch)
    check([*table.to_pylist(), *held_out], plan, watch)
    job = prepare(plan, table, config)
    job.notes |= {"difficulty": levels} if levels else {}
    job.notes |= {"objectives_without_rows": missing} if missing else {}
    before = measure(job, held_out, watch, "before", trained=False)
    job.fit(watch)
    whole = job.guard.finite  # a model of NaN can be asked nothing
    after = measure(job, held_out, watch, "after", trained=True) if whole else None
    made = publishing.publish(job, before, after, run) if plan.is_main else None
    job.trainer.accelerator.wait_for_everyone()
    return made


def prepare(plan: Plan, table: Any, config: Any) -> Job:
    """The trainer of a plan's method, ready to go; errors as `grpo.prepare` and `sft.prepare`."""
    if plan.settings.train.method == "grpo":
        from repic.train import grpo

        return grpo.prepare(plan, table, config)
    from repic.train import sft

    return sft.prepare(plan, table, config)


def held_out_rows(plan: Plan, watch: Watch) -> list[Row]:
    """What the model is measured on; nothing, with a word, where the split has no rows."""
    measured = plan.settings.train.measure
    if not measured.per_objective:
        return []
    try:
        table = read(plan.store, plan.examples, measured.split)
    except DataError as error:
        watch.say(f"nothing is measured: {error}")
        return []
    return balanced(table, measured.per_objective)


def check(found: Sequence[Row], plan: Plan, watch: Watch) -> None:
    """Preflight of all rows, shared among the processes.

    Raises:
        PreflightError: some cannot be trained on.
    """
    from accelerate.utils import gather_object

    mine = found[plan.rank :: plan.processes]
    watch.phase("preflight", len(mine))
    train = plan.settings.train
    problems = preflight.examine(mine, plan.reader, train.max_prompt_tokens, train.mode, watch.tick)
    preflight.refuse(gather_object(problems), len(found))


def measure(
    job: Job, held_out: Sequence[Row], watch: Watch, name: str, trained: bool
) -> Measured | None:
    """Answers to the held-out rows, shared among the processes; None if there are none.

    Args:
        trained: With the adapter, or as the model was before.
    """
    from accelerate.utils import gather_object

    from repic.models.vlm.generate import AnswerGenerator
    from repic.rewards.held_out import Measured, measure_answers

    if not held_out:
        return None
    plan, model = job.plan, job.model.to(job.trainer.accelerator.device)  # DeepSpeed moves it late
    generator = AnswerGenerator(
        plan.reader.processor,
        plan.reader.convention,
        plan.settings.train.measure.batch_size,
        getattr(job.trainer.args, "max_completion_length", None)
        or plan.settings.train.measure.max_new_tokens,
        suppress=(plan.reader.config.image_token_id,),
        ends=load.ends_of(model, plan.reader.processor.tokenizer),
    )
    mine = list(held_out[plan.rank :: plan.processes])
    watch.phase(f"measure {name}", 2 * len(mine))
    if trained:
        found = measure_answers(generator, model, mine, seed=plan.rank, tick=watch.tick)
    else:
        with model.disable_adapter():
            found = measure_answers(generator, model, mine, seed=plan.rank, tick=watch.tick)
    pairs = gather_object(list(zip(found.greedy, found.sampled, strict=True)))
    pairs.sort(key=lambda pair: (pair[0].objective, pair[0].example_id))
    return Measured(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))

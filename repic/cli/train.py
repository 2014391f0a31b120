"""Commands of training: train, export; and what `doctor dataset` prints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    UserError,
    err,
    open_store,
    out,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from repic.rewards.held_out import RewardChange
    from repic.train.publish import TrainingResult

DatasetOption = Annotated[
    str, typer.Option(help="Version of examples, or of a dataset, to train on.")
]
ProfileOption = Annotated[
    str, typer.Option(help="sample, paper, modern, or the path of your own YAML file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable."),
]
ModelOption = Annotated[
    str | None, typer.Option(help="sample-sft, a folder, or a name on the hub.")
]


def add_to(app: typer.Typer) -> None:
    app.command()(train)
    app.command()(export)


def train(
    dataset: DatasetOption = "examples@latest",
    method: Annotated[
        Literal["grpo", "sft"] | None,
        typer.Option(help="From rewards, or from the true answers; grpo unless the profile says."),
    ] = None,
    profile: ProfileOption = "sample",
    model: ModelOption = None,
    set_: SetOption = None,
    reward_url: Annotated[
        list[str] | None,
        typer.Option(help="Reward worker that scores the answers; repeat it for several."),
    ] = None,
    vllm: Annotated[
        bool, typer.Option("--vllm", help="Sample with vLLM on the GPUs that train.")
    ] = False,
    prefect: Annotated[
        bool, typer.Option("--prefect", help="Run as a Prefect flow, with a UI.")
    ] = False,
    show_settings: Annotated[
        bool, typer.Option("--show-settings", help="Print every setting with its help, and end.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Train on a dataset version: a checkpoint, its rollouts, curves, and a before/after table.

    An interrupted run goes on from its last checkpoint when the same command is given again. Any
    field of TRL's GRPOConfig or SFTConfig can be set: `--set trainer.learning_rate=2e-5`.

    Example: repic train --profile sample --set trainer.max_steps=100
    """
    if show_settings:
        _print_settings(method or "grpo")
        return
    overrides = [*(VLLM if vllm else ()), *(set_ or [])]
    if reward_url:
        overrides.append(f"train.reward_urls={json.dumps(reward_url)}")
    if prefect:
        from flows import run

        outcome = run.train(
            store,
            dataset=dataset,
            method=method,
            profile=profile,
            model=model,
            overrides=overrides,
        )
    else:
        outcome = _train_here(store, dataset, profile, overrides, method=method, model=model)
    if outcome is None:  # not the main process of several
        return
    if as_json:
        print_json(_summary(outcome))
    else:
        _print_outcome(outcome)


VLLM = ("trainer.use_vllm=true", "trainer.vllm_mode=colocate")


def _train_here(
    store: str, dataset: str, profile: str, overrides: list[str], **chosen: Any
) -> TrainingResult | None:
    from repic import config
    from repic.cli.progress import TrainingProgress
    from repic.pipeline import catalog

    asked = config.load(profile, overrides, scope=config.TRAIN, train=chosen)
    opened = open_store(store)
    from repic.models.vlm import load
    from repic.train.run import train as run  # torch, only now that all else is in order

    load.quiet()

    if int(os.environ.get("RANK", "0")):  # one of several processes, and not the one that talks
        return run(asked, opened, dataset)
    with TrainingProgress(err()) as progress:
        outcome = run(asked, opened, dataset, progress)
    if outcome and opened.files.local:
        catalog.refresh(opened)
    return outcome


def _print_settings(method: Literal["grpo", "sft"]) -> None:
    from repic.config import TRAIN, describe
    from repic.train.trainer_defaults import defaults

    for key, default, help_ in describe(TRAIN):
        out().print(f"[bold]{key}[/] = {default}  [dim]{help_}[/]")
    for name, default_ in defaults(method).items():
        out().print(f"[bold]trainer.{name}[/] = {default_.value}  [dim]{default_.why}[/]")
    out().print(f"[dim]and every other field of TRL's {method.upper()}Config under trainer.[/]")


def _summary(outcome: TrainingResult) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "checkpoint": str(outcome.checkpoint.ref),
        "rollouts": str(outcome.rollouts.ref) if outcome.rollouts else None,
        "published": outcome.published,
        "fingerprint": outcome.checkpoint.fingerprint,
        "notes": {k: v for k, v in outcome.checkpoint.notes.items() if k != "changes"},
        "changes": [asdict(change) for change in outcome.changes],
    }


def _print_outcome(outcome: TrainingResult) -> None:
    console = out()
    verb = "Published" if outcome.published else "Nothing new: this is"
    with_rollouts = f" with [bold]{outcome.rollouts.ref}[/]" if outcome.rollouts else ""
    console.print(f"{verb} [bold]{outcome.checkpoint.ref}[/]{with_rollouts}")
    for sentence in outcome.checkpoint.notes.get("warnings", ()):
        console.print(f"  {sentence}", style="yellow")
    left_out = outcome.checkpoint.notes.get("left_out_without_caption")
    if left_out:
        console.print(f"  {left_out} caption rows without a known caption were left out")
    print_changes(outcome.changes)


def print_changes(changes: tuple[RewardChange, ...]) -> None:
    """Held-out rewards before and after, with intervals."""
    if not changes:
        return
    print_rows(
        ["answers", "objective", "rows", "before", "after", "difference", "95 %"],
        [
            (
                *(c.how, c.objective, c.n, f"{c.before:.3f}", f"{c.after:.3f}"),
                *(f"{c.difference:+.3f}", f"{c.low:+.3f} .. {c.high:+.3f}"),
            )
            for c in changes
        ],
    )


def export(
    ref: Annotated[str, typer.Argument(help="A version: checkpoint@v1, checkpoint@latest ...")],
    to: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT", help="Folder to write, empty or new; if none, checkpoint-v1 and so on."
        ),
    ] = None,
    merged: Annotated[
        bool,
        typer.Option("--merged", help="The whole model in float32, proven to answer alike."),
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a checkpoint for other programs: its adapter, or merged into the whole model.

    Merged, it is read back and must give the same greedy answers as the adapter on 32 prompts.

    Example: repic export checkpoint@latest out --merged
    """
    from repic.models.vlm import checkpoints, load

    load.quiet()
    opened = open_store(store)
    if to is None:
        found = opened.manifest(ref)
        to = Path(f"{found.name}-v{found.version}")
    try:
        said = checkpoints.export(opened, ref, to, merged)
    except FileExistsError:
        raise UserError(f"{to} is not empty: give a new folder") from None
    out().print(f"Wrote {said}, to {to}")


def doctor_dataset(
    store: str, dataset: str, profile: str, model: str | None, overrides: list[str], as_json: bool
) -> bool:
    """Print what preflight finds in a dataset version; whether all is well."""
    from dataclasses import asdict

    from repic import config
    from repic.cli.progress import TrainingProgress

    asked = config.load(profile, overrides, scope=config.TRAIN, train={"model": model}).train
    opened = open_store(store)
    from repic.models.vlm import load
    from repic.objectives.rows import examples_of
    from repic.train import preflight

    load.quiet()
    examples = examples_of(opened, dataset)
    reader = load.reader(asked.model, asked.boxes)
    found = opened.read(examples.ref).to_pylist()
    with TrainingProgress(err()) as progress:
        progress.phase("preflight", len(found))
        problems = preflight.examine(
            found, reader, asked.max_prompt_tokens, asked.mode, progress.advance
        )
    if as_json:
        print_json([{**asdict(p), "remedy": p.remedy} for p in problems])
    elif problems:
        print_rows(
            ["example", "check", "problem", "remedy"],
            [(p.example_id, p.check, p.message, p.remedy) for p in problems],
        )
    wrong = len({problem.example_id for problem in problems})
    if not as_json:
        said = f"{wrong} of {len(found)} rows of {examples.ref} cannot be trained on"
        good = f"All {len(found)} rows of {examples.ref} can be trained on with {asked.model}."
        out().print(said if problems else good)
    return not problems

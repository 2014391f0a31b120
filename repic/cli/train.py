"""The command train."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    DryRunOption,
    JsonOption,
    ProfileOption,
    SetOption,
    ShowSettingsOption,
    StoreOption,
    err,
    open_store,
    out,
    print_findings,
    print_json,
    print_rows,
    print_setting,
    print_settings,
)

if TYPE_CHECKING:
    from repic.rewards.held_out import RewardChange
    from repic.training.publish import TrainingResult

ModelOption = Annotated[
    str | None, typer.Option(help="sample-base, a folder, or a name on the Hub.")
]

VLLM = ("trainer.use_vllm=true", "trainer.vllm_mode=colocate")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(train)


def train(
    dataset: Annotated[
        str, typer.Option(help="Version of examples, or of a dataset, to train on.")
    ] = "examples@latest",
    method: Annotated[
        Literal["grpo", "sft"] | None,
        typer.Option(
            help="Learn from rewards or from true answers; grpo unless the profile sets it."
        ),
    ] = None,
    profile: ProfileOption = "sample",
    model: ModelOption = None,
    set_: SetOption = None,
    reward_url: Annotated[
        list[str] | None,
        typer.Option(help="URL of a reward worker that scores the answers; repeatable."),
    ] = None,
    vllm: Annotated[
        bool, typer.Option("--vllm", help="Sample with vLLM on the training GPUs.")
    ] = False,
    prefect: Annotated[
        bool, typer.Option("--prefect", help="Run as a Prefect flow, with a UI.")
    ] = False,
    accelerate_config: Annotated[
        Literal["one_gpu", "eight_gpus", "eight_gpus_ddp", "eight_gpus_fsdp2"] | None,
        typer.Option(help="Print the path of this configuration for `accelerate launch`, and end."),
    ] = None,
    dry_run: DryRunOption = False,
    show_settings: ShowSettingsOption = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Train on a dataset version, and publish a checkpoint, rollouts, curves and a comparison.

    To resume an interrupted run from its last checkpoint, run the same command again. Any field
    of TRL's GRPOConfig or SFTConfig can be set: `--set trainer.learning_rate=2e-5`.

    Example: repic train --profile sample --set trainer.max_steps=100
    """
    if accelerate_config:
        print(files("repic.training") / "accelerate" / f"{accelerate_config}.yaml")
        return
    if show_settings:
        _print_settings(method or "grpo")
        return
    overrides = [*(VLLM if vllm else ()), *(set_ or [])]
    if reward_url:
        overrides.append(f"train.reward_urls={json.dumps(reward_url)}")
    if dry_run:
        _try_out(store, dataset, profile, overrides, as_json, method=method, model=model)
        return
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
    if outcome is None:  # not the main process of a distributed run
        return
    if as_json:
        print_json(outcome.as_json())
    else:
        _print_outcome(outcome)


def _train_here(
    store: str, dataset: str, profile: str, overrides: list[str], **chosen: Any
) -> TrainingResult | None:
    from repic import config
    from repic.cli.progress import RunProgress

    settings = config.load(profile, overrides, scope=config.TRAIN, train=chosen)
    opened = open_store(store)
    from repic.models.vlm import load
    from repic.training import run  # imports torch, so only once the arguments are valid

    load.quiet()
    if int(os.environ.get("RANK", "0")):  # only the first process of a distributed run prints
        return run.train(settings, opened, dataset)
    with RunProgress(err()) as progress:
        return run.train(settings, opened, dataset, progress)


def _try_out(
    store: str, dataset: str, profile: str, overrides: list[str], as_json: bool, **chosen: Any
) -> None:
    from repic import config

    settings = config.load(profile, overrides, scope=config.TRAIN, train=chosen)
    opened = open_store(store)
    from repic.models.vlm import load
    from repic.training.checks import training_dry_run

    load.quiet()
    findings = training_dry_run.examine(settings, opened, dataset)
    if not int(os.environ.get("RANK", "0")):
        print_findings(findings, as_json)


def _print_settings(method: Literal["grpo", "sft"]) -> None:
    from repic.config import TRAIN
    from repic.training.trainer_defaults import defaults

    print_settings(TRAIN)
    for name, default in defaults(method).items():
        print_setting(f"trainer.{name}", default.value, default.why)
    out().print(
        f"and every other field of TRL's {method.upper()}Config, as trainer.FIELD", style="dim"
    )


def _print_outcome(outcome: TrainingResult) -> None:
    console = out()
    verb = "Published" if outcome.published else "Nothing new: this is"
    with_rollouts = f" with {outcome.rollouts.ref}" if outcome.rollouts else ""
    console.print(f"{verb} {outcome.checkpoint.ref}{with_rollouts}")
    for warning in outcome.checkpoint.notes.get("warnings", ()):
        console.print(f"  {warning}", style="yellow")
    left_out = outcome.checkpoint.notes.get("left_out_without_caption")
    if left_out:
        console.print(f"  {left_out} caption rows were left out because they have no true caption")
    _print_changes(outcome.changes)


def _print_changes(changes: tuple[RewardChange, ...]) -> None:
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

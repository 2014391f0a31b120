"""The command doctor: is this machine ready, and is a dataset version?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    SetOption,
    StoreOption,
    err,
    open_store,
    out,
    print_findings,
    print_json,
    print_rows,
)
from repic.cli.train import ModelOption

if TYPE_CHECKING:
    from repic.pipeline.recipe_check import RecipeLine
    from repic.training.checks.dataset_doctor import DatasetReport, RowCount


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)


def doctor(
    what: Annotated[
        Literal["dataset", "plugins"] | None,
        typer.Argument(
            help="dataset: check its rows for training; plugins: what installed packages add."
        ),
    ] = None,
    dataset: Annotated[
        str, typer.Argument(metavar="VERSION", help="Version of examples, or of a dataset.")
    ] = "examples@latest",
    model: ModelOption = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="dataset: the recipe that it should follow, and the settings of training; by "
            "default those of its build and of the profile sample."
        ),
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Check environment, disk, store, models, Prefect and GPU, with a remedy for each problem.

    `repic doctor dataset examples@latest --profile paper` looks at a dataset version instead,
    before anybody trains on it: rows of each kind and origin, what answers that ignore the photos
    earn, what is missing for the recipe and where it was lost, and every row with the model's
    processor, which takes minutes for tens of thousands of rows. `repic doctor plugins` lists the
    objectives, sources, models, rewards and exports of packages that are installed beside RePIC.
    Exit code 1 if something would stop a build or training.

    Example: repic doctor
    """
    if what == "dataset":
        _dataset(dataset, model, profile, set_ or [], as_json, store)
        return
    if what == "plugins":
        _plugins(as_json)
        return
    from flows.local.api import configured_server
    from repic.pipeline.doctor import examine

    print_findings(examine(store, configured_server()), as_json)


def _plugins(as_json: bool) -> None:
    from repic.config import plugins

    found = [(plugin, plugins.problem_of(plugin)) for plugin in plugins.installed()]
    if as_json:
        print_json([{**asdict(plugin), "problem": problem} for plugin, problem in found])
    elif found:
        print_rows(
            ["group", "name", "package", "release", "state"],
            [(p.group, p.name, p.distribution, p.release, bad or "ok") for p, bad in found],
        )
    else:
        out().print("No installed package adds anything.")
    if any(problem for _, problem in found):
        raise typer.Exit(1)


def _dataset(
    ref: str,
    model: str | None,
    profile: str | None,
    overrides: list[str],
    as_json: bool,
    store: str,
) -> None:
    from repic import config
    from repic.cli.progress import RunProgress
    from repic.objectives.rows import examples_of
    from repic.pipeline.recipe_check import recorded_recipe

    opened = open_store(store)
    examples = examples_of(opened, ref)
    chosen: dict[str, Any] = {"train": {"model": model}}
    if profile is None:
        chosen["examples"] = recorded_recipe(examples)
    settings = config.load(profile or "sample", overrides, scope=config.DOCTOR, **chosen)
    # These import torch, so only once the arguments are valid.
    from repic.models.vlm import load
    from repic.training.checks import dataset_doctor

    load.quiet()
    with RunProgress(err()) as progress:
        report = dataset_doctor.examine(
            opened, examples, settings, progress.phase, progress.advance
        )
    if as_json:
        print_json(report.as_json())
        if report.has_errors:
            raise typer.Exit(1)
    else:
        _print_report(report)


def _print_report(report: DatasetReport) -> None:
    bound = f" of {report.dataset}" if report.dataset else ""
    out().print(f"{report.examples}{bound}", style="bold")
    out().print("\nRows", style="bold")
    _print_counts(report.counts)
    out().print(f"Without looking: reward of train.mode={report.mode}", style="bold")
    _print_blind(report)
    out().print("Recipe: rows of train", style="bold")
    print_rows(
        ["objective", "kind", "wanted", "train", "missing", "lost at"],
        [_recipe_row(line) for line in report.recipe],
    )
    if report.problems:
        out().print("Problems", style="bold")
        print_rows(
            ["example", "check", "problem", "remedy"],
            [(p.example_id, p.check, p.message, p.remedy) for p in report.problems],
        )
    out().print("Findings", style="bold")
    print_findings(report.findings)


_CAPTIONS = {"ict": ("ict", "captions"), "which": ("ict", "which")}
"""Objective and kind of earnings that are of some ICT rows only."""


def _print_counts(counts: Sequence[RowCount]) -> None:
    """A line for each kind and origin, with a column for each split."""
    from repic.config import SPLITS

    numbers: dict[tuple[str, str, str], dict[str, int]] = {}
    for count in counts:
        key = (count.objective, count.kind, (count.origin or "").replace("_", " "))
        numbers.setdefault(key, {})[count.split] = count.rows
    total = sum(count.rows for count in counts if count.split == "train")
    print_rows(
        ["objective", "kind", *SPLITS, "share of train", "reference"],
        [
            (
                objective,
                kind,
                *(by_split.get(split, 0) for split in SPLITS),
                f"{by_split.get('train', 0) / max(total, 1):.1%}",
                origin,
            )
            for (objective, kind, origin), by_split in numbers.items()
        ],
    )


def _print_blind(report: DatasetReport) -> None:
    """The answers that earn most in train without a look, and what they earn in each split."""
    from repic.config import SPLITS

    found = {(earning.objective, earning.split): earning for earning in report.blind}
    print_rows(
        ["objective", "kind", *SPLITS, "answer"],
        [
            (
                *_CAPTIONS.get(objective, (objective, "")),
                *(
                    f"{found[key].reward:.2f}" if (key := (objective, split)) in found else "-"
                    for split in SPLITS
                ),
                found[objective, "train"].answer,
            )
            for objective in dict.fromkeys(earning.objective for earning in report.blind)
        ],
    )


def _recipe_row(line: RecipeLine) -> tuple[Any, ...]:
    wanted = "all" if line.wanted is None else line.wanted
    lost = "; ".join(f"{loss.stage}: {loss.count} {loss.what}" for loss in line.losses)
    return line.objective, line.kind, wanted, line.rows, line.missing or "", lost

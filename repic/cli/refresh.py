"""Commands of the refresh loop: refresh run, refresh why, refresh rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from repic.cli.build import AddressOption, RunnerOption, WorkersOption, build_by_flow, build_here
from repic.cli.common import (
    DEFAULT_STORE,
    AllowShrinkOption,
    IdentityOption,
    JsonOption,
    SetOption,
    ShowSettingsOption,
    SourceOption,
    StoreOption,
    UserError,
    err,
    open_store,
    out,
    print_json,
    print_rows,
    print_settings,
)

if TYPE_CHECKING:
    from repic.refresh.history import RecordedDecision

refresh = typer.Typer(
    name="refresh",
    help="Build, train, evaluate, and promote a checkpoint only if it is better.\n\n"
    "Example: repic refresh run --profile sample",
    no_args_is_help=True,
)
TagOption = Annotated[str, typer.Option(help="Tag of the checkpoint in use.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(refresh)


@refresh.command()
def run(
    images: Annotated[
        str | None,
        typer.Option(help="Folder or fsspec URL of photos, instead of the profile's source."),
    ] = None,
    source: SourceOption = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="sample (the default), paper, modern, or the path of your own YAML file."
        ),
    ] = None,
    identity: IdentityOption = None,
    set_: SetOption = None,
    allow_shrink: AllowShrinkOption = False,
    runner: RunnerOption = None,
    address: AddressOption = None,
    workers: WorkersOption = None,
    show_settings: ShowSettingsOption = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Build, train and evaluate a candidate, and move the tag `production` to it if it is better.

    A candidate is better if its strict F1 is higher by more than the interval of the difference
    and no guarded metric is worse by more than its margin. The decision is recorded with its
    numbers either way. If nothing has changed, the command does nothing. Without photos and a
    profile, photos are generated, unless the latest dataset of the store was built from others.

    Example: repic refresh run --profile sample --set refresh.margins.oct=0.05
    """
    from repic import config

    if show_settings:
        print_settings(config.REFRESH)
        return
    from repic.cli.progress import RunProgress
    from repic.pipeline import generated

    overrides = set_ or []
    chosen = config.chosen_sources(images, source, identity)
    settings = config.load(profile or "sample", overrides, **chosen)
    if not (images or source or profile):
        generated.refuse_in_a_store_of_photos(settings, store)
    if runner or address or workers:
        outcome = build_by_flow(
            *(store, runner, address, workers),
            images=images,
            sources=source,
            profile=profile or "sample",
            identity=identity,
            overrides=overrides,
            allow_shrink=allow_shrink,
        )
    else:
        outcome = build_here(settings, store, allow_shrink=allow_shrink)
    from repic.models.vlm import load
    from repic.refresh import run as refresh_run

    load.quiet()
    opened = open_store(store)
    with RunProgress(err()) as progress:
        recorded, is_new = refresh_run.refresh(settings, opened, str(outcome.dataset.ref), progress)
    if as_json:
        print_json({**_summary(recorded), "new": is_new})
        return
    if not is_new:
        out().print(f"Nothing new: this is decision {recorded.number}.")
    _print(recorded)


@refresh.command()
def why(
    decision: Annotated[
        int | None, typer.Argument(help="Number of a decision; the newest by default.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Print a decision: its verdict and every number behind it.

    Example: repic refresh why 3
    """
    from repic.refresh.history import decisions

    recorded = decisions(open_store(store))
    chosen = [d for d in recorded if decision in (None, d.number)]
    if not chosen:
        raise UserError(
            f"there is no decision {decision}: there are {len(recorded)}"
            if recorded
            else "there is no decision yet: start with `repic refresh run`"
        )
    if as_json:
        print_json(_summary(chosen[-1]))
    else:
        _print(chosen[-1])


@refresh.command()
def rollback(
    tag: TagOption = "production",
    reason: Annotated[
        str, typer.Option(help="Why; `repic refresh why` prints it, and the studio shows it.")
    ] = "",
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Move the tag back to the checkpoint that had it before the last promotion.

    Example: repic refresh rollback --reason "it calls every dog Rex"
    """
    from repic.refresh.history import roll_back
    from storage.manifest import Run

    opened = open_store(store)
    recorded = roll_back(opened, tag, Run.here(), reason)
    if as_json:
        print_json(_summary(recorded))
    else:
        out().print(f"{recorded.candidate} is @{tag} again; {recorded.why}")


COLUMNS = ("metric", "before", "after", "difference", "low", "high", "n", "margin", "met")


def _summary(recorded: RecordedDecision) -> dict[str, Any]:
    return {
        "decision": recorded.number,
        "verdict": recorded.verdict,
        "why": recorded.why,
        "candidate": recorded.candidate,
        "production": recorded.production,
        "in_use": recorded.in_use,
        "metrics": [{name: row.get(name) for name in COLUMNS} for row in _compared(recorded)],
    }


def _compared(recorded: RecordedDecision) -> list[dict[str, Any]]:
    return [row for row in recorded.rows if row["metric"] != "-"]


def _print(recorded: RecordedDecision) -> None:
    out().print(
        f"Decision {recorded.number}: {recorded.verdict} {recorded.candidate}; "
        f"in use: {recorded.in_use or 'nothing'}"
    )
    rows = [tuple(_cell(row.get(name)) for name in COLUMNS) for row in _compared(recorded)]
    if rows:
        print_rows(list(COLUMNS), rows)
    out().print(recorded.why)


def _cell(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value

"""Commands of the nightly loop: refresh run, refresh why, refresh rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    err,
    open_store,
    out,
    print_json,
    print_rows,
)
from repic.cli.train import ProfileOption, SetOption

if TYPE_CHECKING:
    from repic.refresh.history import RecordedDecision

refresh = typer.Typer(
    name="refresh",
    help="Build, train, evaluate, and promote only what is better.\n\n"
    "Example: repic refresh run --profile sample",
    no_args_is_help=True,
)
TagOption = Annotated[str, typer.Option(help="Tag of the checkpoint that is in use.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(refresh)


@refresh.command()
def run(
    images: Annotated[
        str | None, typer.Option(help="Folder or fsspec URL of photos, if not the profile's.")
    ] = None,
    profile: ProfileOption = "sample",
    set_: SetOption = None,
    show_settings: Annotated[
        bool, typer.Option("--show-settings", help="Print the settings of a refresh, and end.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Build what is new, train on it, evaluate, and move the tag `production` if it is better.

    Better is a strict F1 that is higher beyond the interval of the difference, while no guarded
    metric is worse by more than its margin. Either way the decision is kept, with its numbers. The
    same again, when all is done, does nothing.

    Example: repic refresh run --profile sample --set refresh.margins.oct=0.05
    """
    from repic import config

    if show_settings:
        for key, default, help_ in config.describe(config.REFRESH):
            out().print(f"[bold]{key}[/] = {default}  [dim]{help_}[/]")
        return
    from repic import config
    from repic.cli.build import build_here
    from repic.cli.progress import TrainingProgress
    from repic.pipeline import catalog

    overrides = set_ or []
    asked = config.load(profile, overrides, source=config.folder_source(images))
    built = build_here(asked, store)
    from repic.models.vlm import load
    from repic.refresh.run import refresh as refreshed

    load.quiet()
    opened = open_store(store)
    with TrainingProgress(err()) as progress:
        recorded, is_new = refreshed(asked, opened, str(built.dataset.ref), progress)
    if opened.files.local:
        catalog.refresh(opened)
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
    """Print a decision: who took over or did not, and every number that decided.

    Example: repic refresh why 3
    """
    from repic.cli.common import UserError
    from repic.refresh.history import decisions

    known = decisions(open_store(store))
    chosen = [d for d in known if decision in (None, d.number)]
    if not chosen:
        raise UserError(
            f"there is no decision {decision}: there are {len(known)}"
            if known
            else "nothing was decided yet: start with `repic refresh run`"
        )
    if as_json:
        print_json(_summary(chosen[-1]))
    else:
        _print(chosen[-1])


@refresh.command()
def rollback(
    tag: TagOption = "production", as_json: JsonOption = False, store: StoreOption = DEFAULT_STORE
) -> None:
    """Give the tag back to the checkpoint that had it before the last promotion.

    Example: repic refresh rollback
    """
    from repic.pipeline import catalog
    from repic.refresh.history import roll_back
    from storage.manifest import Run

    opened = open_store(store)
    recorded = roll_back(opened, tag, Run.here())
    if opened.files.local:
        catalog.refresh(opened)
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
        f"Decision {recorded.number}: [bold]{recorded.verdict}[/] {recorded.candidate}; "
        f"in use is {recorded.in_use or 'nothing'}"
    )
    rows = [tuple(_cell(row.get(name)) for name in COLUMNS) for row in _compared(recorded)]
    if rows:
        print_rows(list(COLUMNS), rows)
    out().print(recorded.why, markup=False)


def _cell(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value

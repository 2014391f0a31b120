"""The command that says how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    open_store,
    out,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from flows.local.api import FlowRun
    from repic.pipeline.status import Status


def add_to(app: typer.Typer) -> None:
    app.command()(status)


def status(
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Last builds, what the latest dataset holds and lacks, who is at work, Prefect's last runs.

    Builds that failed are told with their reason, until one succeeds.

    Example: repic status --json
    """
    from dataclasses import asdict

    from flows.local.api import recent_flow_runs
    from repic.pipeline import status as statuses

    found = statuses.of(open_store(store))
    runs = recent_flow_runs()
    if as_json:
        print_json(
            {**asdict(found), "flow_runs": None if runs is None else list(map(asdict, runs))}
        )
    else:
        _print(found, runs)


def _print(found: Status, runs: list[FlowRun] | None) -> None:
    console = out()
    if found.dataset is None:
        console.print("Nothing was published yet.")
    else:
        rows = ", ".join(f"{count} {name}" for name, count in found.rows.items())
        console.print(f"Latest is [bold]{found.dataset}[/]: {rows}")
    for objective, why in found.empty.items():
        console.print(f"  no {objective} examples: {why}", style="yellow")
    if found.quarantined:
        counts = ", ".join(f"{count} {error}" for error, count in found.quarantined.items())
        console.print(f"  in quarantine: {counts}; see `repic quarantine`", style="yellow")
    for failure in found.failed:
        console.print(
            f"Failed at {failure.when:%F %T} UTC, by {failure.by}: "
            f"{failure.error}: {failure.message}",
            style="red",
            markup=False,
        )
    for holder in found.running:
        console.print(f"Running: {holder}")
    if found.builds:
        print_rows(
            ["published", "dataset", "new versions", "by", "flow run"],
            [
                (f"{b.when:%F %T} UTC", b.dataset, len(b.versions), b.by, b.flow_run)
                for b in found.builds
            ],
        )
    if runs is None:
        console.print("No Prefect server answers; `repic up` starts one.", style="dim")
    elif runs:
        print_rows(
            ["flow run", "flow's state", "started", "what it said"],
            [(run.name, run.state, run.started, run.message) for run in runs],
        )

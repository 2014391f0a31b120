"""Commands that operate flows: run, up, schedule, automations, status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    UserError,
    open_store,
    out,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from flows.local.api import FlowRun
    from repic.pipeline.status import Status


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (run, up, schedule, automations, status):
        app.command()(command)


def run(
    name: Annotated[str, typer.Argument(help="Deployment: build-datasets, train-grpo ...")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="Flow parameter; repeatable."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait until the run ends.")] = False,
) -> None:
    """Run a deployment on the server that `repic up` started.

    Same as `prefect deployment run NAME/NAME`.

    Example: repic run build-datasets --param profile=sample --watch
    """
    from flows.run import run_deployment

    raise typer.Exit(run_deployment(name, param or [], watch=watch))


def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Prefect server.")] = 4200,
    studio: Annotated[bool, typer.Option("--studio", help="Start the studio as well.")] = False,
    studio_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the studio.")] = 8900,
    allow_review: Annotated[
        bool, typer.Option("--allow-review", help="Let people decide on pairs in the studio.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Start Prefect's server, work pool, worker and deployments; Ctrl-C stops all of them.

    While it runs, `prefect deployment run build-datasets` works in any other shell. The studio is
    for this machine only: `repic studio` serves others.

    Example: repic up --store /data/repic
    """
    from flows.local.serving import up as serve
    from flows.local.studio import StudioOptions

    options = StudioOptions(studio_port, allow_review) if studio else None
    raise typer.Exit(serve(store, port, options))


def schedule(
    name: Annotated[
        str | None,
        typer.Argument(help="Deployment: build-datasets, refresh ...; without one, list."),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="Flow parameter; repeatable."),
    ] = None,
    cron: Annotated[
        str, typer.Option(help="Minute, hour, day of the month, month and weekday.")
    ] = "0 3 * * *",
    timezone: Annotated[str, typer.Option(help="Of the times, such as Europe/Berlin.")] = "UTC",
    off: Annotated[bool, typer.Option("--off", help="Delete the schedule.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a deployment every night, or at other times, with parameters of its own.

    The server of `repic up`, or the one that PREFECT_API_URL names, keeps the schedule, also when
    it is started again. A deployment has one; the same command replaces it. Without a deployment,
    all schedules are listed.

    Example: repic schedule build-datasets --param images=/data/photos --cron "30 2 * * *"
    """
    from dataclasses import asdict

    from flows import schedules

    if name is None:
        rows = schedules.listed()
        if as_json:
            print_json([asdict(row) for row in rows])
        else:
            print_rows(
                ["deployment", "when", "time zone", "is", "parameters"],
                [(r.deployment, r.cron, r.timezone, r.state, r.settings) for r in rows],
            )
    elif off:
        schedules.remove(name)
        out().print(f"{name} has no schedule of `repic schedule` now.")
    else:
        schedules.put(name, param or (), cron, timezone)
        when = f"{cron} ({timezone})"
        out().print(f"{name} runs at {when}, while server and worker run.")


def automations(
    action: Annotated[
        Literal["list", "apply", "remove"],
        typer.Argument(help="list, apply: create or replace, or remove."),
    ] = "list",
    names: Annotated[
        list[str] | None,
        typer.Argument(help="train, failed, quarantine, refused.", show_default=False),
    ] = None,
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help='Address that receives messages, as the JSON {"text": ...}: a webhook of Slack, '
            "Mattermost or Teams.",
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="train: parameter of its runs."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what Prefect's server does by itself: train, post messages.

    The server of `repic up`, or the one that PREFECT_API_URL names, keeps automations until they
    are removed. failed posts each failure of a deployment, so also what quarantine posts.

    Example: repic automations apply failed refused --notify https://hooks.slack.com/services/...
    """
    from dataclasses import asdict

    from flows import automations as offered

    if action == "list":
        rows = offered.listed()
        if as_json:
            print_json([asdict(row) for row in rows])
        else:
            print_rows(["automation", "does", "is"], [(r.name, r.does, r.state) for r in rows])
        return
    if not names:
        raise UserError(f"name what to {action}: {', '.join(offered.KINDS)}")
    if action == "apply":
        offered.apply(names, offered.Options(notify, param or ()))
    else:
        offered.remove(names)
    out().print(f"{'Applied' if action == 'apply' else 'Removed'}: {', '.join(names)}")


def status(as_json: JsonOption = False, store: StoreOption = DEFAULT_STORE) -> None:
    """Show recent builds, the latest dataset, running builds, and Prefect's recent runs.

    Failed builds, trainings and evaluations are listed with their reason until one succeeds.

    Example: repic status --json
    """
    from dataclasses import asdict

    from flows.local.api import recent_flow_runs
    from repic.pipeline import status as statuses

    current = statuses.read(open_store(store))
    runs = recent_flow_runs()
    if as_json:
        print_json(
            {**asdict(current), "flow_runs": None if runs is None else list(map(asdict, runs))}
        )
    else:
        _print_status(current, runs)


def _print_status(current: Status, runs: list[FlowRun] | None) -> None:
    from repic.pipeline import status as statuses

    console = out()
    if current.dataset is None:
        console.print("Nothing was published yet.")
    else:
        rows = ", ".join(f"{count} {name}" for name, count in current.rows.items())
        console.print(f"Latest is {current.dataset}: {rows}")
        for name, count in current.sources.items():
            console.print(f"  source {name}: {count['usable']} of {count['found']} photos")
        for sentence in statuses.origin_sentences(current.origins):
            console.print(f"  {sentence}")
    for objective, why in current.empty.items():
        console.print(f"  no {objective} examples: {why}", style="yellow")
    if current.quarantined:
        counts = ", ".join(f"{count} {error}" for error, count in current.quarantined.items())
        console.print(f"  in quarantine: {counts}; see `repic quarantine`", style="yellow")
    for failure in current.failed:
        console.print(
            f"Failed ({failure.work}) at {failure.when:%F %T} UTC, by {failure.by}: "
            f"{failure.error}: {failure.message}",
            style="red",
        )
    for holder in current.died:
        console.print(
            f"Died: {holder}. It was killed (memory?) or the machine stopped; finished work is "
            "kept, so run it again.",
            style="red",
        )
    for holder in current.running:
        console.print(f"Running: {holder}")
    if current.builds:
        rows_of_builds = [
            (f"{b.when:%F %T} UTC", b.dataset, len(b.versions), b.by, b.flow_run)
            for b in current.builds
        ]
        print_rows(["published", "dataset", "new versions", "by", "flow run"], rows_of_builds)
    if runs is None:
        console.print("No Prefect server answers; `repic up` starts one.", style="dim")
    elif runs:
        print_rows(
            ["flow run", "state", "started", "message"],
            [(run.name, run.state, run.started, run.message) for run in runs],
        )

"""Commands for the people who operate it: run, up, doctor."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from repic.cli.common import DEFAULT_STORE, JsonOption, StoreOption, print_json, print_rows
from repic.cli.train import ModelOption, ProfileOption, SetOption, doctor_dataset


def add_to(app: typer.Typer) -> None:
    for command in (run, up, doctor):
        app.command()(command)


def run(
    name: Annotated[str, typer.Argument(help="Deployment: build-datasets, train-grpo, evaluate.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="Flow parameter; repeatable."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for its end.")] = False,
) -> None:
    """Run a deployment on the server that `repic up` started.

    The same as `prefect deployment run NAME/NAME`, and needs no plugin.

    Example: repic run build-datasets --param profile=sample --watch
    """
    from flows.run import run_deployment

    raise typer.Exit(run_deployment(name, param or [], watch=watch))


def up(
    port: Annotated[int, typer.Option(help="Port of the Prefect server.")] = 4200,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Start server, work pool, worker and deployments; Ctrl-C ends all of them.

    While it runs, `prefect deployment run build-datasets` works in any other shell.

    Example: repic up --store /data/repic
    """
    from flows.local.serving import up as serve

    raise typer.Exit(serve(store, port=port))


def doctor(
    what: Annotated[
        Literal["dataset"] | None, typer.Argument(help="dataset: try its rows for training.")
    ] = None,
    dataset: Annotated[
        str, typer.Argument(metavar="VERSION", help="Of examples, or of a dataset.")
    ] = "examples@latest",
    model: ModelOption = None,
    profile: ProfileOption = "sample",
    set_: SetOption = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Check environment, disk, store, models, Prefect and GPU; each finding has its remedy.

    `repic doctor dataset examples@latest --model MODEL` tries every row for training instead:
    pictures, image tokens, length of the prompt, and what true and wrong answers score. Exit code
    1 if something would stop a build, or training.

    Example: repic doctor
    """
    from dataclasses import asdict

    if what == "dataset":
        if not doctor_dataset(store, dataset, profile, model, set_ or [], as_json):
            raise typer.Exit(1)
        return
    from flows.local.api import configured_server
    from repic.pipeline.doctor import examine

    findings = examine(store, configured_server())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_rows(
            ["", "what", "found", "remedy"],
            [(f.level, f.subject, f.found, f.remedy) for f in findings],
        )
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)

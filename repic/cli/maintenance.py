"""Commands about the files of a store: verify, repair."""

from __future__ import annotations

from typing import Annotated

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


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (verify, repair):
        app.command()(command)


def verify(
    ref: Annotated[
        str | None, typer.Argument(help="One version and its inputs; by default all.")
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Hash every file and compare it with its manifest; exit code 1 if any differs.

    Example: repic verify dataset@latest
    """
    from dataclasses import asdict

    from storage import integrity

    problems = integrity.verify(open_store(store), ref)
    if as_json:
        print_json([asdict(problem) for problem in problems])
    elif problems:
        print_rows(
            ["version", "file", "problem"], [(p.artifact, p.path, p.message) for p in problems]
        )
        err().print("`repic repair` restores what it can, and says what it cannot.")
    else:
        out().print("Clean: every file matches its manifest.")
    if problems:
        raise typer.Exit(1)


def repair(as_json: JsonOption = False, store: StoreOption = DEFAULT_STORE) -> None:
    """Restore what `verify` finds; exit code 1 if something is left, with a remedy for each.

    Lost and damaged tables are computed again from the photos, refs are restored from manifests,
    and damaged files move to the folder `damaged` of the store. No new version becomes latest.

    Example: repic repair
    """
    from dataclasses import asdict

    from repic.cli.progress import BuildProgress
    from repic.pipeline import repair as repairs
    from repic.pipeline.scan import scan

    with BuildProgress(err()) as progress:
        result = repairs.repair(
            open_store(store),
            progress,
            lambda settings, uris: scan(settings, progress.scanned, uris),
        )
    if as_json:
        print_json(asdict(result))
    else:
        for sentence in result.done:
            out().print(sentence, markup=False)
        if result.left:
            print_rows(
                ["version", "file", "left", "remedy"],
                [
                    (each.problem.artifact, each.problem.path, each.problem.message, each.remedy)
                    for each in result.left
                ],
            )
        else:
            out().print("Clean: every file matches its manifest.")
    if result.left:
        raise typer.Exit(1)

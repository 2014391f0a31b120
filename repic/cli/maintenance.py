"""Commands about the files of a store: verify, repair, gc."""

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
    size,
)

if TYPE_CHECKING:
    from storage.gc import Garbage

CLEAN = "Clean: every file matches its manifest."


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (verify, repair, gc):
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
        out().print(CLEAN)
    if problems:
        raise typer.Exit(1)


def repair(as_json: JsonOption = False, store: StoreOption = DEFAULT_STORE) -> None:
    """Restore what `verify` finds; exit code 1 if something is left, with a remedy for each.

    Lost and damaged tables are computed again from the photos, and refs are restored from
    manifests. Damaged manifests and refs, and files that do not belong there, move to the folder
    `damaged` of the store. No new version becomes latest.

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
            out().print(sentence)
        if result.left:
            print_rows(
                ["version", "file", "left", "remedy"],
                [
                    (each.problem.artifact, each.problem.path, each.problem.message, each.remedy)
                    for each in result.left
                ],
            )
        else:
            out().print(CLEAN)
    if result.left:
        raise typer.Exit(1)


def gc(
    apply: Annotated[
        bool, typer.Option("--apply", help="Delete the files; without it, only list them.")
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="Also delete versions, except the newest KEEP and any that a ref names."
        ),
    ] = None,
    forget: Annotated[
        float,
        typer.Option(
            min=0,
            max=36_500,
            metavar="DAYS",
            help="Also delete killed training runs that were not resumed, and results kept for the "
            "next build that none used, within DAYS days.",
        ),
    ] = 30,
    forget_lease: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="A process of another machine or container that has ended; repeatable.",
        ),
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Delete unreachable files; a dry run unless --apply is given.

    A killed training run keeps the files that it needs to resume. It is listed, and deleted once
    it has not been resumed within --forget DAYS.

    While a build runs, nothing is deleted. Whether one runs on another machine or in another
    container cannot be known: it is named, and --forget-lease ID says that it has ended.

    Example: repic gc --keep 10 --apply
    """
    from datetime import timedelta

    from storage import gc as garbage

    collected = garbage.gc(
        open_store(store),
        delete=apply,
        keep_versions=keep,
        forget=timedelta(days=forget),
        forget_leases=forget_lease or (),
    )
    if as_json:
        print_json(_record(collected))
        return
    _print(collected)
    if not apply and collected.files and not collected.blocked_by:
        err().print("Add --apply to delete them.")


def _record(garbage: Garbage) -> dict[str, Any]:
    return {
        "files": [{"path": f.path, "bytes": f.bytes, "reason": f.reason} for f in garbage.files],
        "bytes": garbage.bytes,
        "unfinished": [
            {
                "id": u.job.id,
                "what": u.job.what,
                "touched": u.job.touched.isoformat(),
                "bytes": u.bytes,
                "forgotten": u.forgotten,
            }
            for u in garbage.unfinished
        ],
        "deleted": garbage.deleted,
        "blocked": len(garbage.blocked_by),
        "blocked_by": [
            {"id": lease.id, "who": str(lease), "advice": lease.advice}
            for lease in garbage.blocked_by
        ],
    }


def _print(garbage: Garbage) -> None:
    if garbage.files:
        print_rows(
            ["file", "size", "reason"], [(f.path, size(f.bytes), f.reason) for f in garbage.files]
        )
    if garbage.unfinished:
        print_rows(
            ["unfinished", "last active", "size", "status"],
            [
                (
                    u.job.what,
                    f"{u.job.touched:%F %T} UTC",
                    size(u.bytes),
                    "abandoned" if u.forgotten else "kept: run the same command to resume",
                )
                for u in garbage.unfinished
            ],
        )
    verb = "Deleted" if garbage.deleted else "Would delete"
    out().print(f"{verb} {len(garbage.files)} files, {size(garbage.bytes)}.")
    for lease in garbage.blocked_by:
        err().print(f"In use by {lease}: {lease.advice}.")
    if garbage.blocked_by:
        err().print("So nothing is deleted; run this again when it is free.")

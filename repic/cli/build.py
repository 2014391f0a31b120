"""Commands that make something: build, report, reviews."""

from __future__ import annotations

import os
from collections.abc import Collection
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
)

if TYPE_CHECKING:
    from repic.config import Settings
    from repic.pipeline.build import Outcome


def add_to(app: typer.Typer) -> None:
    app.command()(build)
    app.command()(report)
    app.command()(reviews)


def build(
    images: Annotated[
        str | None,
        typer.Option(help="Folder or fsspec URL of photos; `--profile photos` unless you say so."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="sample, photos, paper, modern, or the path of your own YAML file."),
    ] = None,
    identity: Annotated[
        Literal["folder", "annotation", "none"] | None,
        typer.Option(help="What labels an identity: sub-folder names, annotations, nothing."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable."),
    ] = None,
    prefect: Annotated[
        bool, typer.Option("--prefect", help="Run as a Prefect flow, with retries and a UI.")
    ] = False,
    show_settings: Annotated[
        bool, typer.Option("--show-settings", help="Print every setting with its help, and end.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Build one dataset version from photos: OCT, VLT and ICT examples.

    Only what is missing is computed. A build that was made before publishes nothing; an interrupted
    one goes on where it was; new photos cost what they cost.

    Example: repic build --images ~/photos --set examples.ict.max_references=3
    """
    if show_settings:
        _print_settings()
        return
    parameters = _parameters(images, profile, identity, set_ or [])
    if prefect:
        from flows import run

        outcome = run.build(store, **parameters)
    else:
        from repic import config

        outcome = build_here(
            config.load(
                parameters["profile"],
                parameters["overrides"],
                scope=config.BUILD,
                source=config.folder_source(images, identity),
            ),
            store,
        )
    if as_json:
        print_json(_summary(outcome))
    else:
        _print_outcome(outcome, store)


def _parameters(
    images: str | None, profile: str | None, identity: str | None, overrides: list[str]
) -> dict[str, Any]:
    if images is None and profile is None and not any(o.startswith("source.") for o in overrides):
        raise UserError("say what to build from: --images FOLDER, or --profile sample for a demo")
    return {
        "images": images,
        "profile": profile or "photos",
        "identity": identity,
        "overrides": overrides,
    }


def build_here(settings: Settings, store: str, only: Collection[str] | None = None) -> Outcome:
    """Build in this process, with progress on standard error; `only` as in `scan`."""
    from repic.cli.progress import Progress
    from repic.pipeline import catalog
    from repic.pipeline.build import build, open_for
    from repic.pipeline.scan import scan

    with Progress(err()) as progress:
        location = os.path.expanduser(store)
        opened, found = open_for(location, lambda: scan(settings, progress.scanned, only))
        outcome = build(settings, opened, found, progress)
    if opened.files.local:
        catalog.refresh(opened)
    return outcome


def _print_settings() -> None:
    from repic.config import BUILD, describe

    for key, default, help_ in describe(BUILD):
        out().print(f"[bold]{key}[/] = {default}  [dim]{help_}[/]")


def _summary(outcome: Outcome) -> dict[str, Any]:
    return {
        "dataset": str(outcome.dataset.ref),
        "published": outcome.published,
        "fingerprint": outcome.dataset.fingerprint,
        "content": outcome.dataset.content,
        "files": outcome.files,
        "copies": outcome.copies,
        "rows": {name: manifest.rows for name, manifest in outcome.tables.items()},
        "processed": dict(outcome.processed),
        "notes": outcome.dataset.notes,
        "seconds": round(outcome.seconds, 2),
    }


def _print_outcome(outcome: Outcome, store: str) -> None:
    rows = {name: manifest.rows for name, manifest in outcome.tables.items()}
    verb = "Published" if outcome.published else "Nothing new: this is"
    console = out()
    console.print(f"{verb} [bold]{outcome.dataset.ref}[/] in {outcome.seconds:.1f} s, {store}")
    copies = f"{outcome.copies} copies of others, " if outcome.copies else ""
    console.print(
        f"  {outcome.files} photos found, {rows['images']} usable and distinct, {copies}"
        f"{rows['quarantine']} quarantined; {rows['objects']} objects, {rows['pairs']} pairs, "
        f"{rows['examples']} examples"
    )
    for note in outcome.dataset.notes.get("examples", {}).values():
        if note.get("why"):
            console.print(f"  no {note['objective']} examples: {note['why']}", style="yellow")
    if why := outcome.dataset.notes.get("pairs", {}).get("nothing_mined"):
        console.print(f"  no identity was mined: {why}", style="yellow")
    photos = outcome.dataset.notes.get("pairs", {}).get("photos_by_split", {})
    shares = outcome.dataset.settings["splits"]
    wanted = [split for split in ("validation", "test") if shares[split]]
    if empty := [split for split in wanted if split not in photos]:
        console.print(
            f"  {' and '.join(empty)}: no identity fell there, there are few; "
            "--set splits.salt=WORD draws others",
            style="yellow",
        )
    if rows["quarantine"]:
        console.print("  `repic quarantine` says what was wrong", style="yellow")


def report(
    ref: Annotated[str, typer.Argument(help="A version: dataset@latest, examples@v3 ...")] = (
        "dataset@latest"
    ),
    out_: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("report.html"),
    against: Annotated[
        str | None,
        typer.Option(help="Earlier evaluation to compare with; evaluation@production if there."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write one self-contained HTML page: counts, galleries of pairs, boxes, examples, quarantine.

    Of a checkpoint: curves, rewards before and after, and answers. Of an evaluation: scores with
    intervals, what changed, retrieval, and the worst photos.

    Example: repic report examples@latest --out report.html
    """
    from repic import report as reporting

    path = reporting.write(open_store(store), ref, out_, against)
    out().print(f"Wrote {path}")


def reviews(
    action: Annotated[Literal["export", "import"], typer.Argument(help="export or import.")],
    file: Annotated[Path, typer.Argument(help="CSV file.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """A person's decisions on pairs and boxes, as CSV: export what waits, import what was decided.

    `export` writes the decisions so far and every doubtful pair that has none. Fill in `decision`
    (accept or reject) and `reviewer`, and import the file; the next build honours it.

    Example: repic reviews export doubtful.csv
    """
    from repic.pipeline import reviews as decisions

    opened = open_store(store)
    if action == "export":
        written = decisions.export(opened, file)
        out().print(f"Wrote {written} rows to {file}; fill in decision, then import it")
    else:
        manifest = decisions.read(opened, file)
        out().print(f"{manifest.ref} holds {manifest.rows} decisions; the next build honours them")
        if strange := decisions.unknown(opened, manifest):
            err().print(
                f"{len(strange)} of them name a pair or object that no version holds, as "
                f"{', '.join(strange[:3])}: they change nothing; compare with `reviews export`",
                style="yellow",
            )

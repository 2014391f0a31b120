"""Commands about builds: build, report, reviews, quarantine."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from repic.cli.common import (
    DEFAULT_STORE,
    AllowShrinkOption,
    DryRunOption,
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
    print_findings,
    print_json,
    print_rows,
    print_settings,
)

if TYPE_CHECKING:
    from repic.config import Settings
    from repic.pipeline.build import BuildResult
    from storage.store import Store

RunnerOption = Annotated[
    Literal["threads", "dask", "ray"] | None,
    typer.Option(
        help="Where a Prefect flow computes shards: in threads, on a Dask or on a Ray cluster.",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        help="Of a running cluster: tls://HOST:8786 of Dask, HOST:6379 or auto of Ray. Without it, "
        "a local one is started for the build."
    ),
]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Processes of the local cluster.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (build, report, reviews, quarantine):
        app.command()(command)


def build(
    images: Annotated[
        str | None,
        typer.Option(help="Folder or fsspec URL of photos: short for `--source folder:PATH`."),
    ] = None,
    source: SourceOption = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="photos, clip, sample, paper, modern, or the path of your own YAML file."
        ),
    ] = None,
    identity: IdentityOption = None,
    set_: SetOption = None,
    allow_shrink: AllowShrinkOption = False,
    prefect: Annotated[
        bool, typer.Option("--prefect", help="Run as a Prefect flow, with retries and a UI.")
    ] = False,
    runner: RunnerOption = None,
    address: AddressOption = None,
    workers: WorkersOption = None,
    dry_run: DryRunOption = False,
    show_settings: ShowSettingsOption = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Build a dataset version from photos: OCT, VLT and ICT examples.

    Only missing results are computed: an unchanged build publishes nothing, an interrupted one
    resumes, and new photos cost only their own work.

    Example: repic build --source folder:~/family --source coco:instances.json
    """
    from repic import config

    if show_settings:
        print_settings(config.BUILD)
        return
    parameters = _parameters(images, source, profile, identity, set_ or [])
    settings = config.load(
        parameters["profile"],
        parameters["overrides"],
        scope=config.BUILD,
        **config.chosen_sources(images, source, identity),
    )
    if dry_run:
        from repic.pipeline import build_dry_run

        print_findings(build_dry_run.examine(settings, parameters["profile"]), as_json)
        return
    if profile is None:
        _suggest_models(parameters["overrides"])
    if prefect or runner or address or workers:
        outcome = build_by_flow(
            store, runner, address, workers, **parameters, allow_shrink=allow_shrink
        )
    else:
        outcome = build_here(settings, store, allow_shrink=allow_shrink)
    if as_json:
        print_json(outcome.as_json())
    else:
        _print_outcome(outcome, store)


def _parameters(
    images: str | None,
    sources: list[str] | None,
    profile: str | None,
    identity: str | None,
    overrides: list[str],
) -> dict[str, Any]:
    is_set = any(override.startswith(("source.", "sources=")) for override in overrides)
    if images is None and not sources and profile is None and not is_set:
        raise UserError(
            "nothing to build from: give --images FOLDER or --source KIND:PATH, or --profile "
            "sample for a demo"
        )
    return {
        "images": images,
        "sources": sources,
        "profile": profile or "photos",
        "identity": identity,
        "overrides": overrides,
    }


def _suggest_models(overrides: list[str]) -> None:
    """Say in one line which models the default profile uses, and which find more."""
    from repic import config
    from repic.models.published import models_of

    if any(override.startswith(("detector.", "encoder.")) for override in overrides):
        return
    here = all(model.fetched() for model in models_of(config.load("clip")))
    better = "--profile clip" if here else "`repic models pull clip`, then --profile clip,"
    err().print(
        "Profile photos: the models that repic ships, for photos with one subject; "
        f"{better} finds several objects per photo.",
        style="dim",
    )


def build_by_flow(
    store: str,
    runner: Literal["threads", "dask", "ray"] | None,
    address: str | None,
    workers: int | None,
    **parameters: Any,
) -> BuildResult:
    """Build as a Prefect flow, with its shards where `runner` says.

    Args:
        parameters: Other parameters of the flow `build-datasets`.
    """
    from flows import run
    from flows.runners import Choice

    return run.build(store, Choice(runner or "threads", address, workers), **parameters)


def build_here(
    settings: Settings,
    store: str,
    only: Collection[str] | None = None,
    allow_shrink: bool = False,
) -> BuildResult:
    """Build in this process, with progress on standard error.

    Args:
        only: URIs of the only photos to scan; see `repic.pipeline.scan.scan`.
        allow_shrink: See `repic.pipeline.execution.build`.
    """
    from repic.cli.progress import BuildProgress
    from repic.pipeline.execution import build, open_and_scan
    from repic.pipeline.scan import scan

    with BuildProgress(err()) as progress:
        location = os.path.expanduser(store)
        opened, kept, photos = open_and_scan(
            location, settings, lambda kept: scan(kept, progress.scanned, only)
        )
        return build(kept, opened, photos, progress, allow_shrink)


def _print_outcome(outcome: BuildResult, store: str) -> None:
    from repic.pipeline import split_conflicts, status, suspects

    opened = open_store(store)
    rows = {name: manifest.rows for name, manifest in outcome.tables.items()}
    unchanged = "Repaired" if outcome.repaired else "Nothing new: this is"
    verb = "Published" if outcome.published else unchanged
    console = out()
    console.print(f"{verb} {outcome.dataset.ref} in {outcome.seconds:.1f} s, {store}")
    copies = f"{outcome.copies} exact copies, " if outcome.copies else ""
    console.print(
        f"  {outcome.files} photos found, {rows['images']} usable and distinct, {copies}"
        f"{rows['quarantine']} quarantined; {rows['objects']} objects, {rows['pairs']} pairs, "
        f"{rows['examples']} examples"
    )
    for name, count in outcome.dataset.notes.get("images", {}).get("sources", {}).items():
        console.print(f"  source {name}: {count['usable']} of {count['found']} photos")
    for path, what in outcome.repaired.items():
        console.print(f"  computed again: {path}, because {what}", style="yellow")
    for sentence in status.origin_sentences(status.origin_counts(outcome.dataset)):
        console.print(f"  {sentence}")
    for note in outcome.dataset.notes.get("examples", {}).values():
        if note.get("why"):
            console.print(f"  no {note['objective']} examples: {note['why']}", style="yellow")
    if why := outcome.dataset.notes.get("pairs", {}).get("nothing_mined"):
        console.print(f"  no identities mined: {why}", style="yellow")
    if boxes := outcome.dataset.notes.get("objects", {}).get("identities_without_box"):
        console.print(
            f"  {boxes['lost']} of {boxes['annotated']} annotated identities are on no box of the "
            "detector; detector.kind=annotation uses the annotated boxes",
            style="yellow",
        )
    for suspicion in suspects.suspicions(outcome.dataset.notes.get("pairs", {})):
        console.print(f"  {suspicion}", style="yellow")
    if lost := split_conflicts.reviewed_photos(opened, outcome.dataset):
        console.print(f"  {split_conflicts.sentence(lost)}", style="yellow")
    photos = outcome.dataset.notes.get("pairs", {}).get("photos_by_split", {})
    shares = outcome.dataset.settings["splits"]
    wanted = [split for split in ("validation", "test") if shares[split]]
    if empty := [split for split in wanted if split not in photos]:
        console.print(
            f"  {' and '.join(empty)}: no identity, because fewer than three can be parted; "
            "add photos of others",
            style="yellow",
        )
    if rows["quarantine"]:
        console.print("  `repic quarantine` lists the reasons", style="yellow")


def report(
    ref: Annotated[str, typer.Argument(help="A version: dataset@latest, examples@v3 ...")] = (
        "dataset@latest"
    ),
    out_: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("report.html"),
    against: Annotated[
        str | None,
        typer.Option(
            help="Earlier evaluation to compare with; evaluation@production if it exists."
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a self-contained HTML page: counts, galleries of pairs, boxes, examples, quarantine.

    The page of a checkpoint has curves, rewards before and after, and answers. The page of an
    evaluation has scores with intervals, changes, retrieval, and the worst photos.

    Example: repic report examples@latest --out report.html
    """
    from repic.report import write

    path = write(open_store(store), ref, out_, against)
    out().print(f"Wrote {path}")


def reviews(
    action: Annotated[Literal["export", "import"], typer.Argument(help="export or import.")],
    file: Annotated[Path, typer.Argument(help="CSV file, or JSON of Label Studio.")],
    to: Annotated[
        Literal["csv", "label-studio"], typer.Option("--to", help="Form of an exported file.")
    ] = "csv",
    pictures: Annotated[
        bool, typer.Option(help="Write small pictures into a folder beside an exported CSV file.")
    ] = True,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Review doubtful pairs in a CSV file: export them, decide, import the decisions.

    `export` writes all decisions so far and every doubtful pair without one, with similarities, the
    addresses of the photos, and a small picture of each object. Fill in `decision` (accept, reject
    or unsure) and `reviewer`, and import the file; the next build uses it. Decisions that the file
    does not contain stay; a row with a reviewer and no decision withdraws theirs.

    Example: repic reviews export doubtful.csv
    """
    from repic.cli.progress import RunProgress
    from repic.pipeline import review_tasks, reviews_csv

    opened = open_store(store)
    in_label_studio = to == "label-studio" or file.suffix == ".json"
    if action == "import":
        manifest = (review_tasks if in_label_studio else reviews_csv).read(opened, file)
        out().print(f"{manifest.ref} holds {manifest.rows} decisions; the next build uses them")
        if unknown := [] if in_label_studio else reviews_csv.unknown(opened, manifest):
            err().print(
                f"{len(unknown)} of them name a pair or object that no version has, such as "
                f"{', '.join(unknown[:3])}; they have no effect: compare with `reviews export`",
                style="yellow",
            )
        return
    with RunProgress(err()) as progress:
        if in_label_studio:
            written = review_tasks.export(opened, file, progress)
        else:
            written = reviews_csv.export(opened, file, pictures, progress)
    if not in_label_studio:
        out().print(f"Wrote {written} rows to {file}; fill in decision, then import it")
        return
    interface = file.with_suffix(".xml")
    interface.write_text(review_tasks.CONFIG, encoding="utf-8")
    out().print(
        f"Wrote {written} tasks to {file}, and the labelling interface of their project to "
        f"{interface}; import the JSON export of the project"
    )


def quarantine(
    action: Annotated[
        Literal["list", "retry"], typer.Argument(help="list, or retry after a repair.")
    ] = "list",
    of: Annotated[
        str, typer.Option("--of", help="Version to list, for example that of a refused build.")
    ] = "quarantine@latest",
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """List the inputs that the latest build could not use, and why; or retry them after a repair.

    `retry` repeats the latest build with its own photos and settings and processes only repaired
    or newly readable files. New photos wait for the next build.

    Example: repic quarantine --json && repic quarantine retry
    """
    if action == "retry":
        _retry(store, as_json)
    else:
        _list(open_store(store), of, as_json)


def _list(store: Store, ref: str, as_json: bool) -> None:
    manifest = store.manifest(ref)
    if manifest.name != "quarantine":
        raise UserError(f"{manifest.ref} is no quarantine: give --of quarantine@v...")
    rows = store.read(manifest.ref).to_pylist()
    if as_json:
        print_json(rows)
    elif not rows:
        out().print("Nothing is in quarantine.")
    else:
        print_rows(
            ["stage", "error", "uri", "message"],
            [(row["stage"], row["error"], row["uri"], row["message"]) for row in rows],
        )


def _retry(location: str, as_json: bool) -> None:
    from dataclasses import asdict

    from repic import config
    from repic.pipeline import retry

    store = open_store(location)
    latest = retry.latest_dataset(store)
    before = retry.bound_table(store, latest, "quarantine")
    settings = config.from_record(latest.settings)
    built = build_here(settings, location, retry.source_uris(store, latest))
    result = retry.compare(store, before, built.dataset)
    if as_json:
        print_json(asdict(result))
        return
    out().print(
        f"{len(result.used)} of {before.rows} are used now, {len(result.refused)} still refused, "
        f"{len(result.gone)} gone from the source: {result.dataset}"
    )
    if result.refused:
        print_rows(["error", "uri"], [(reason, uri) for uri, reason in result.refused.items()])

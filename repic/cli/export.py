"""Commands that write data for other programs and read it back: export, import."""

from __future__ import annotations

import re
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
    print_rows,
)
from repic.cli.conventions import Convention, MaxPixels, MinPixels, box_convention

if TYPE_CHECKING:
    from repic.export.job import ExportTarget
    from repic.export.run import ExportResult
    from repic.export.target import ExportOptions
    from storage.store import Store

Splits = Annotated[list[str] | None, typer.Option(help="Only this split; repeatable.")]
Objectives = Annotated[list[str] | None, typer.Option(help="Only this objective; repeatable.")]
Pictures = Annotated[
    Literal["embed", "copy", "reference"] | None,
    typer.Option(help="Inside the rows, as files beside them, or where the photos are."),
]
KeepExif = Annotated[bool, typer.Option("--keep-exif", help="Keep EXIF and GPS of whole photos.")]
Uris = Annotated[
    bool | None,
    typer.Option(
        "--uris/--no-uris", help="Tell where the photos are; by default not if it is uploaded."
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Write boxes as this model, instead of --convention.")
]
Merged = Annotated[
    bool,
    typer.Option(
        "--merged", help="checkpoint: merge the adapter in float32, and check its answers."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Upload without asking.")]
Public = Annotated[bool, typer.Option("--public", help="Upload to a public repository.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a folder that is not empty.")]
Push = Annotated[
    str | None,
    typer.Option(
        metavar="ORG/NAME", help="Upload to the Hugging Face Hub, private unless --public."
    ),
]
List = Annotated[bool, typer.Option("--list", help="List the targets, and exit.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="With --list: print Markdown.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(export)
    app.command(name="import")(import_)


def export(
    ref: Annotated[
        str | None,
        typer.Argument(help="A version: dataset@latest, examples@v3, checkpoint@v1 ..."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", help="New or empty folder; by default examples-v3-hf."),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TARGET", help="Program; --list shows all.")
    ] = None,
    out_: Annotated[Path | None, typer.Option("--out", help="The folder, as OUT.")] = None,
    split: Splits = None,
    objective: Objectives = None,
    pictures: Pictures = None,
    keep_exif: KeepExif = False,
    uris: Uris = None,
    convention: Convention = "qwen3-vl",
    min_pixels: MinPixels = None,
    max_pixels: MaxPixels = None,
    model: Model = None,
    merged: Merged = False,
    overwrite: Overwrite = False,
    push: Push = None,
    public: Public = False,
    yes: Yes = False,
    list_: List = False,
    markdown: Markdown = False,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write a dataset for a trainer or the Hub, or a checkpoint for other programs.

    Pictures are what a model is trained on (cropped, changed, upright), without EXIF and GPS. The
    folder is there complete or not at all, and can be moved.

    A merged model is loaded again and must give the adapter's greedy answers on 32 prompts.

    Example: repic export dataset@latest out --to trl --model Qwen/Qwen3-VL-4B-Instruct

    Example: repic export dataset@latest --to hf --push ORG/NAME

    Example: repic export checkpoint@latest out --merged
    """
    from repic.export import hub
    from repic.export.target import ExportOptions

    if list_:
        _list(markdown, as_json)
        return
    if ref is None:
        raise UserError("say what to export, such as dataset@latest; --list shows the targets")
    if folder is not None and out_ is not None:
        raise UserError("give the folder once: OUT or --out")
    opened = open_store(store)
    manifest = opened.manifest(ref)
    default = f"{manifest.name}-v{manifest.version}{f'-{to}' if to else ''}"
    place = folder or out_ or Path(default)
    if to is None:
        uploaded = _checkpoint(opened, ref, place, merged, overwrite, as_json)
        if push:
            _push(place, "model", uploaded, push, public, yes)
        return
    options = ExportOptions(
        box_convention(convention, min_pixels, max_pixels, model),
        tuple(split or ()),
        tuple(objective or ()),
        pictures,
        keep_exif,
        uris if uris is not None else push is None,
    )
    result = _dataset(opened, ref, to, place, options, overwrite, show=not as_json)
    if as_json:
        print_json(result.facts)
    if push:
        hub.check_pushable(result.facts)
        _push(result.folder, "dataset", hub.subjects_sentence(result.facts), push, public, yes)


def _dataset(
    store: Store,
    ref: str,
    name: str,
    folder: Path,
    options: ExportOptions,
    overwrite: bool,
    show: bool,
) -> ExportResult:
    import json

    from repic.cli.progress import RunProgress
    from repic.export import registry, run

    target = registry.target(name)
    with RunProgress(err()) as progress:
        result = run.export(
            store,
            ref,
            target,
            folder,
            options,
            overwrite=overwrite,
            begin=lambda total: progress.phase("rows", total),
            advance=progress.advance,
        )
    if show:
        _print(result, target)
        written = json.dumps(result.facts["convention"])
        if target.facts.scored:
            out().print(f"A reward worker needs REPIC_REWARD_CONVENTION='{written}'")
    return result


def _print(result: ExportResult, target: ExportTarget) -> None:
    rows = result.facts["rows"]
    kinds = sorted({kind for counts in rows.values() for kind in counts})
    print_rows(
        ["split", *kinds],
        [(split, *(counts.get(kind, 0) for kind in kinds)) for split, counts in rows.items()],
    )
    for reason, number in result.facts["left_out"].items():
        named = ", ".join(result.facts["left_out_rows"][reason])
        err().print(f"left out {number}: {reason} ({named})")
    out().print(f"Wrote {result.written} rows to {result.folder}")
    use = re.sub(r"\bF\b", lambda _: str(result.folder), target.facts.use)
    out().print(f"Use it: {use}")


def _push(
    folder: Path, kind: Literal["dataset", "model"], what: str, name: str, public: bool, yes: bool
) -> None:
    """Say what an upload makes known, and upload only if the user agrees."""
    from repic.export import hub

    where = f"to {'the public' if public else 'a private'} repository {name}"
    err().print(f"This uploads {what}, {where}.")
    if not yes and not typer.confirm("Upload?", default=False, err=True):
        raise UserError("nothing was uploaded; --yes uploads without asking")
    out().print(f"Uploaded to {hub.push(folder, name, kind, public)}")


def _checkpoint(
    store: Store, ref: str, folder: Path, merged: bool, overwrite: bool, as_json: bool
) -> str:
    """Write a checkpoint; returns what an upload of it makes known."""
    from repic.export import checkpoint_card
    from repic.export.folders import new_folder
    from repic.models.vlm import checkpoints, load

    manifest = store.manifest(ref)
    if manifest.kind != "checkpoint":
        raise UserError(
            f"{manifest.ref} is a {manifest.kind}: give a checkpoint@v..., or say for which "
            "program with --to TARGET (--list shows all)"
        )
    load.quiet()
    with new_folder(folder, overwrite) as temporary:
        summary = checkpoints.export(store, ref, temporary, merged)
        checkpoint_card.write(temporary, manifest, merged)
    if as_json:
        print_json({"checkpoint": str(manifest.ref), "folder": str(folder), "merged": merged})
    else:
        out().print(f"Wrote {summary}, to {folder}")
    data = ", ".join(str(bound.ref) for bound in manifest.inputs) or "unknown data"
    return f"{summary}, trained on {data}"


def _list(markdown: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from repic.export import registry
    from repic.export.page import page

    if markdown:
        typer.echo(page(), nl=False)
    elif as_json:
        print_json({target.name: asdict(target.facts) for target in registry.targets()})
    else:
        rows: list[tuple[Any, ...]] = [
            (target.name, target.facts.program, ", ".join(target.facts.pictures))
            for target in registry.targets()
        ]
        print_rows(["target", "for", "pictures"], rows)


def import_(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder, or ORG/NAME of the Hub.")
    ],
    form: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="[hf|repic-json]",
            help="hf: an export --to hf; repic-json: also released records.",
        ),
    ],
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for the exported pictures, to be used instead of the photos."),
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Read an export back into a store, as a version of examples with the same content.

    Rows keep pointing to their photos if these are still there, unchanged. If not, --pictures
    copies the exported pictures and uses them.

    Example: repic import out --from hf --store other
    """
    from repic.cli.progress import RunProgress
    from repic.export import hub
    from repic.export.importing import form_of, import_rows

    known = form_of(form)
    folder = Path(source)
    if not folder.is_dir():
        folder = hub.download(source)
    opened = open_store(store, create=True)
    with RunProgress(err()) as progress:
        progress.phase("rows", None)
        result = import_rows(opened, folder, known, pictures, progress.advance)
    if as_json:
        record = {
            "version": str(result.manifest.ref),
            "content": result.manifest.content,
            "rows": result.rows,
            "skipped": dict(result.skipped),
            "lost": result.lost,
        }
        print_json(record)
        return
    for reason, number in result.skipped.items():
        err().print(f"skipped {number} {reason}")
    manifest = result.manifest
    out().print(f"{result.rows} rows are {manifest.ref}, content {manifest.content}")
    if result.lost:
        out().print(f"Lost: {result.lost}")

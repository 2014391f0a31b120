"""Command about model weights: list and fetch those that profiles name."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from repic.cli.common import (
    JsonOption,
    SetOption,
    UserError,
    err,
    out,
    print_json,
    print_rows,
    size,
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(models)


def models(
    action: Annotated[
        Literal["list", "pull"], typer.Argument(help="list, or pull: fetch what is missing.")
    ] = "list",
    profile: Annotated[
        str | None, typer.Argument(help="Profile whose models are meant; list: all profiles.")
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the weights that profiles need and whether they are here, or fetch those of a profile.

    Only weights that their authors publish are fetched: OpenCLIP's and transformers' into the cache
    of the Hugging Face hub, those of ultralytics into the cache of repic. Their SHA-256 is recorded
    and shown. Builds never fetch YOLO files by themselves.

    Example: repic models pull clip
    """
    if action == "pull" and profile is None:
        raise UserError("name a profile: `repic models pull clip`")
    if action == "pull":
        _pull(profile or "", set_ or [], as_json)
    else:
        _list(profile, set_ or [], as_json)


def _list(profile: str | None, overrides: list[str], as_json: bool) -> None:
    from repic import config
    from repic.models.published import models_of

    rows = []
    for name in [profile] if profile else config.profiles():
        settings = config.load(name, overrides, scope=config.BUILD)
        needed = list(models_of(settings))
        if not needed:
            rows.append((name, "shipped with repic", "here", "", ""))
        for model in needed:
            files = model.fetched()
            rows.append(
                (
                    name,
                    model.name,
                    "here" if files else "not fetched",
                    size(sum(file.bytes for file in files)) if files else "",
                    files[0].sha256[:12] if files else "",
                )
            )
    columns = ["profile", "model", "state", "size", "sha256"]
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    print_rows(columns, rows)
    if absent := sorted({row[0] for row in rows if row[2] != "here"}):
        err().print(f"`repic models pull {absent[0]}` fetches the models of {absent[0]}.")


def _pull(profile: str, overrides: list[str], as_json: bool) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from repic import config
    from repic.models.published import models_of

    settings = config.load(profile, overrides, scope=config.BUILD)
    fetched = []
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=err(), transient=True) as progress:
        bars: dict[str, object] = {}

        def report(name: str, done: int, total: int | None) -> None:
            if name not in bars:
                bars[name] = progress.add_task(f"Fetching {name}", total=None)
            progress.update(bars[name], completed=done, total=total)  # type: ignore[arg-type]

        for model in models_of(settings):
            fetched += [(model, file) for file in model.fetch(report)]
    if as_json:
        print_json(
            [{"model": model.name, "origin": model.origin, **vars(file)} for model, file in fetched]
        )
        return
    if not fetched:
        out().print(f"{profile} needs nothing: its models are shipped with repic.")
        return
    print_rows(
        ["model", "from", "size", "sha256", "file"],
        [(m.name, m.origin, size(f.bytes), f.sha256, f.path) for m, f in fetched],
    )
    out().print(f"Build with `repic build --images FOLDER --profile {profile}`.")

"""The command that lists what could not be used, and tries it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

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
    from storage.store import Store


def add_to(app: typer.Typer) -> None:
    app.command()(quarantine)


def quarantine(
    action: Annotated[
        Literal["list", "retry"], typer.Argument(help="list, or retry after a repair.")
    ] = "list",
    of: Annotated[
        str, typer.Option("--of", help="list: a version, such as that of a refused build.")
    ] = "quarantine@latest",
    as_json: JsonOption = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Inputs that the latest build could not use, and why; or build again after their repair.

    `retry` builds the latest dataset again, from its own photos and with its own settings: only
    what was repaired or can be read by now is processed. New photos wait for the next build.

    Example: repic quarantine --json && repic quarantine retry
    """
    if action == "retry":
        _retry(store, as_json)
    else:
        _list(open_store(store), of, as_json)


def _list(store: Store, of: str, as_json: bool) -> None:
    rows = store.read(of).to_pylist()
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
    from repic.cli.build import build_here
    from repic.pipeline.quarantine import known, of_latest, retried

    store = open_store(location)
    before = of_latest(store)
    settings = config.from_record(store.manifest("dataset@latest").settings)
    result = retried(store, before, build_here(settings, location, known(store)))
    if as_json:
        print_json(asdict(result))
        return
    out().print(
        f"{len(result.used)} of {before.rows} are used now, {len(result.refused)} still refused, "
        f"{len(result.gone)} gone from the source: {result.dataset}"
    )
    if result.refused:
        print_rows(["error", "uri"], [(why, uri) for uri, why in result.refused.items()])

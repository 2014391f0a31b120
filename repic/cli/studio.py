"""Command `studio`: look at a store in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from repic.cli.common import DEFAULT_STORE, StoreOption, err, open_store


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(studio)


def studio(
    host: Annotated[
        str, typer.Option(help="Address to bind; a public one requires a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to bind.")] = 8900,
    allow_review: Annotated[
        bool, typer.Option("--allow-review", help="Let people decide on pairs, boxes and groups.")
    ] = False,
    reviewer: Annotated[
        str, typer.Option(help="Name of reviewers who do not give one; default: your user name.")
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name under which browsers call it, such as a proxy's; repeat it."
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Look at photos, pairs and examples in the browser, correct them, ask in SQL.

    It only reads, unless --allow-review lets it write decisions. Browsers on other machines must
    give the token in REPIC_STUDIO_TOKEN as a password; without a token only this machine is served.
    Stop it with Ctrl-C.

    Example: repic studio --store demo/store --allow-review
    """
    import os

    from repic.studio.serve import TOKEN, serve
    from repic.studio.site import Studio
    from repic.web.listening import address, listen

    opened = Studio(open_store(store), allow_review=allow_review, reviewer=reviewer)
    with listen(host, port, TOKEN) as listening:
        mode = "decisions are written to reviews" if allow_review else "read-only"
        err().print(f"Studio at {address(host, port)} ({mode}); Ctrl-C stops it")
        serve(listening, host, opened, os.environ.get(TOKEN), allow_host or ())

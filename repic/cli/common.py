"""What the commands share: options, consoles, and errors that a person can mend."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repic.errors import FIXABLE, RepicError

if TYPE_CHECKING:
    from rich.console import Console

    from storage.store import Store

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="REPIC_STORE",
        help="Folder or fsspec URL of the store.",
        show_envvar=True,
    ),
]
DEFAULT_STORE = "repic-store"
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class UserError(RepicError):
    """Something that the person at the keyboard can fix; the message says how."""

    exit_code = 2


def explain(error: BaseException) -> str | None:
    """One sentence for an error that the user can fix; None for a fault of ours."""
    from storage.errors import explained

    if isinstance(error, FIXABLE):
        return str(error)
    if not isinstance(error, OSError) or not error.strerror:
        return None
    place = error.filename or "the output"
    try:
        with explained(str(place)):
            raise error
    except FIXABLE as full_or_forbidden:
        return str(full_or_forbidden)
    except OSError:
        return f"{place}: {error.strerror}; check the path and run again"


def open_store(location: str, create: bool = False) -> Store:
    """The store that `--store` names."""
    from storage.store import Store

    return Store.open(os.path.expanduser(location), create=create)


def out() -> Console:
    """Where results go."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def err() -> Console:
    """Where progress and remarks go, so that results can be piped."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """JSON on standard output, dates as ISO 8601."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_rows(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """A table for a person; where it is too wide, cells fold, and nothing of them is lost."""
    from rich import box
    from rich.table import Column, Table

    folding = [Column(name, overflow="fold") for name in columns]
    table = Table(*folding, box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    out().print(table)


def size(count: int) -> str:
    """Bytes for a person."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"

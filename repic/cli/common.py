"""Options, consoles, tables and error messages that the commands share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from repic.errors import FIXABLE, RepicError

if TYPE_CHECKING:
    from rich.console import Console

    from repic.config import Scope
    from repic.pipeline.doctor import Finding
    from repic.rewards.wrappers import Wrapper
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
PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
"""Options of consoles that print text as it is: names, paths and captions hold brackets, too."""
AllowShrinkOption = Annotated[
    bool,
    typer.Option(
        "--allow-shrink",
        help="Publish even if most photos or rows of the last version, or an objective, are lost.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ProfileOption = Annotated[
    str, typer.Option(help="sample, paper, modern, or the path of your own YAML file.")
]
SourceOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND:PATH",
        help="A source of photos, as folder:~/family or coco:instances.json; repeatable, instead "
        "of the profile's sources. `repic sources` lists the kinds.",
    ),
]
IdentityOption = Annotated[
    str | None,
    typer.Option(
        metavar="WHAT",
        help="What labels identities: folder, the sub-folder (folder:1 is the first below the "
        "root, folder:-1 that of the photo); annotation, the source; object, each annotated object "
        "alone; album, of a photo library; shot, of a video; none.",
    ),
]
StripOption = Annotated[
    str,
    typer.Option(
        "--strip",
        help="Wrappers to remove from each answer, as rewards.strip: think, answer, or both "
        "(think,answer).",
    ),
]
CaptionsOption = Annotated[
    Path | None,
    typer.Option(
        "--captions",
        help="File of reference captions, also in COCO's form; adds BLEU, ROUGE-L and CIDEr.",
    ),
]
FactsOption = Annotated[
    Path | None,
    typer.Option(
        "--facts",
        help="Concept file with facts; adds how many a reader of the captions alone learns.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable."),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Say what it would read and do, and what is missing; exit code 1 if it would fail.",
    ),
]
ShowSettingsOption = Annotated[
    bool, typer.Option("--show-settings", help="Print every setting with its help, and exit.")
]


class UserError(RepicError):
    """Something that the user can fix; the message says how."""

    exit_code = 2


def explain(error: BaseException) -> str | None:
    """One sentence for an error that the user can fix; None for a bug."""
    from storage.errors import FULL_OR_FORBIDDEN, sentence

    if isinstance(error, FIXABLE):
        return str(error)
    if not isinstance(error, OSError) or not error.strerror:
        return None
    path = str(error.filename or "a file")
    if error.errno in FULL_OR_FORBIDDEN:
        return sentence(error, path)
    return f"{path}: {error.strerror}; check the path and run again"


def open_store(location: str, create: bool = False) -> Store:
    """The store that `--store` names; its catalog is refreshed after every change."""
    from repic.pipeline import catalog

    return catalog.open_store(os.path.expanduser(location), create)


def out() -> Console:
    """Console for results."""
    from rich.console import Console

    return Console(**PLAIN, soft_wrap=True)


def err() -> Console:
    """Console for progress and notes, which do not belong in a pipe.

    A sentence is wrapped on a terminal; in a file it is one line, which a search finds.
    """
    from rich.console import Console

    from repic.pipeline import log_lines

    if log_lines.wanted():
        from repic.cli.progress import LogConsole

        return LogConsole()
    return Console(**PLAIN, stderr=True, soft_wrap=not sys.stderr.isatty())


def print_json(value: Any) -> None:
    """JSON on standard output, dates as ISO 8601."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_rows(columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    """A table on standard output; a cell that is too wide folds instead of being cut.

    Without names of columns it has no head.
    """
    from rich import box
    from rich.table import Column, Table

    folding = [Column(name, overflow="fold") for name in columns]
    table = Table(*folding, box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.show_header = any(columns)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    out().print(table)


def print_findings(findings: Sequence[Finding], as_json: bool = False) -> None:
    """Results of checks with their remedies.

    Raises:
        typer.Exit: code 1, if one is an error.
    """
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_rows(
            ["", "what", "found", "remedy"],
            [(f.level, f.subject, f.found, f.remedy) for f in findings],
        )
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def print_settings(scope: Scope) -> None:
    """Every setting of a command with its default and help."""
    from repic.config import describe

    for key, default, help_ in describe(scope):
        print_setting(key, default, help_)


def print_setting(key: str, default: object, help_: str) -> None:
    """A line about a setting."""
    from rich.text import Text

    out().print(Text.assemble((key, "bold"), f" = {default}  ", (help_, "dim")))


def size(count: int) -> str:
    """Bytes in a readable unit: `1.2 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def wrappers_option(text: str) -> tuple[Wrapper, ...]:
    """The wrappers that `--strip` names; an unknown one is an error."""
    from repic.rewards.wrappers import WRAPPERS, wrappers_of

    unknown = {name.strip() for name in text.split(",") if name.strip()} - {*WRAPPERS}
    if unknown:
        raise UserError(
            f"there is no wrapper {min(unknown)!r}: --strip takes {', '.join(WRAPPERS)}"
        )
    return wrappers_of(text)

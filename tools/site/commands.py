"""The page of every command and option, from the command line itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer.main
from typer.core import TyperGroup

from repic.cli import app
from tools.site.markdown import code, prose, table

BEGINNING = """# All commands

Every command with all of its options, as `--help` prints them.
[Commands](cli.md) lists them by task.
"""


def page() -> str:
    """The page as Markdown."""
    root = next(commands())[0].find_root()
    lines = [BEGINNING, *_options(root, root.command)]
    return "\n".join([*lines, *(line for one in commands() for line in _section(*one))])


def commands() -> Iterator[tuple[Any, Any]]:
    """Context and command of each command that runs something."""
    root: Any = typer.main.get_command(app)
    kind = type(root.make_context("repic", ["schema"]))
    yield from _below(kind, kind(root, info_name="repic"), root)


def _below(kind: Any, context: Any, command: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(command, TyperGroup):
        yield context, command
        return
    for name in command.list_commands(context):
        below: Any = command.get_command(context, name)
        yield from _below(kind, kind(below, info_name=name, parent=context), below)


def options(context: Any, command: Any) -> list[tuple[str, str]]:
    """What may follow the command, and what it means."""
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    return [record for record in records if record and not record[0].endswith("--help")]


def _section(context: Any, command: Any) -> Iterator[str]:
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    yield from (f"## {context.command_path}", "", f"    {usage}", "")
    for paragraph in inspect.cleandoc(command.help).split("\n\n"):
        example, found, shown = paragraph.partition("Example:")
        yield from (prose(example), "")
        if found:
            lines = (re.sub(r"\s+", " ", line).strip() for line in shown.strip().split("\n"))
            yield from (*(f"    {line}" for line in lines), "")
    yield from _options(context, command)


def _options(context: Any, command: Any) -> Iterator[str]:
    """The table of what may follow a command, or come before all of them."""
    if rows := options(context, command):
        cells = [(code(form), _meaning(meaning)) for form, meaning in rows]
        yield from (*table(["", "meaning"], cells), "")


def _meaning(text: str) -> str:
    """The help of an option; what Typer adds in brackets is code."""
    said, _, added = text.partition("  [")
    return f"{prose(said)} {code(added.removesuffix(']'))}".strip()

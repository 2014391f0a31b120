"""Tables and code of Markdown from texts of any kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    lines = [_line(head), "|" + "---|" * len(head)]
    return [*lines, *(_line(row) for row in rows)]


def code(text: str) -> str:
    """The text as code; nothing if it is empty."""
    if not text:
        return ""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def prose(text: str) -> str:
    """A text of ours as it reads: what is not in backticks holds no HTML."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else part.replace("<", "&lt;").replace("*", r"\*")
        for part in parts
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(' '.join(cell.split())) for cell in cells)} |"


def _cell(text: str) -> str:
    """The text with `|` escaped, but not in code, where Python-Markdown takes it as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)

"""Names, texts and paths as DuckDB writes them, whatever they contain."""

from __future__ import annotations

import re


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def exact(path: str) -> str:
    """A path that DuckDB does not read as a pattern, though it may have brackets in it."""
    return re.sub(r"[\[*?]", r"[\g<0>]", path)

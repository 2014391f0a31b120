"""Quoting of names, texts and paths for DuckDB."""

from __future__ import annotations

import re


def identifier(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted string literal."""
    return "'" + text.replace("'", "''") + "'"


def escape_glob(path: str) -> str:
    """Escape the characters of a path that DuckDB would read as a glob pattern."""
    return re.sub(r"[\[*?]", r"[\g<0>]", path)

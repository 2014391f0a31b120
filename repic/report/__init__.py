"""One self-contained HTML page about a dataset version: what it holds, and how good that looks."""

from __future__ import annotations

from repic.report.page import render, write

__all__ = ["render", "write"]

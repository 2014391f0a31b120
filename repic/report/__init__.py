"""Self-contained HTML reports of dataset versions, training runs and evaluations."""

from __future__ import annotations

from repic.report.page import render, write

__all__ = ["render", "write"]

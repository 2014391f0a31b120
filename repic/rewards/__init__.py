"""Scores: of any completion for any row, and the proof that they cannot be gamed."""

from __future__ import annotations

from repic.rewards.scoring import RowError, check_row, score

__all__ = ["RowError", "check_row", "score"]

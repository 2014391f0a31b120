"""Progress callbacks of training, evaluation and refresh."""

from __future__ import annotations

from typing import Any, Protocol


class Progress(Protocol):
    """Progress callbacks of a run."""

    def phase(self, name: str, total: int) -> None:
        """Called when a phase of `total` parts begins."""

    def advance(self, count: int = 1) -> None:
        """Called when `count` parts of the phase are done."""

    def step(self, number: int, logs: dict[str, Any]) -> None:
        """Called when the trainer logs a step."""

    def message(self, text: str) -> None:
        """Called with a sentence for the user."""


class NoProgress:
    """Ignores all progress."""

    def phase(self, name: str, total: int) -> None:
        """Ignored."""

    def advance(self, count: int = 1) -> None:
        """Ignored."""

    def step(self, number: int, logs: dict[str, Any]) -> None:
        """Ignored."""

    def message(self, text: str) -> None:
        """Ignored."""

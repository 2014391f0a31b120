"""How far a build or a training run is: bars on a terminal, lines in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from rich.console import Console

    from repic.pipeline.build import Plan, Shard
    from repic.pipeline.stages.base import Stage


class Progress:
    """Watches a build; one bar per stage that has something to do."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description:<11}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._scan: TaskID | None = None
        self._stage: TaskID | None = None

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def scanned(self, count: int) -> None:
        """A photo was hashed; nobody knows yet how many there are."""
        if self._scan is None:
            self._scan = self._bars.add_task("scan", total=None)
        self._bars.update(self._scan, completed=count)

    def stage(self, stage: Stage, plan: Plan) -> None:
        """A stage begins: `plan.missing` of its `plan.inputs` have no result yet."""
        self._end_of_scan()
        if not plan.shards:
            return
        self._stage = self._bars.add_task(stage.name, total=plan.missing)
        if self._bars.disable:
            kept = plan.inputs - plan.missing
            self._console.print(f"{stage.name}: {plan.missing} to do, {kept} known")

    def _end_of_scan(self) -> None:
        if self._scan is not None:
            photos = self._bars.tasks[self._scan].completed
            self._bars.update(self._scan, total=photos)

    def shard(self, stage: Stage, shard: Shard) -> None:
        """A shard is done."""
        assert self._stage is not None
        self._bars.advance(self._stage, shard.inputs.num_rows)


EVERY = 10.0
"""Seconds between two lines of a training run in a log."""


class TrainingProgress:
    """Watches a training run; one bar per phase, and what was learned so far beside it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description:<15}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._phase: TaskID | None = None
        self._said = float("-inf")

    def __enter__(self) -> TrainingProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def phase(self, name: str, total: int) -> None:
        """Something begins that has so many parts."""
        self._phase = self._bars.add_task(name, total=total, said="")
        if self._bars.disable:
            self._console.print(f"{name}: {total}")

    def advance(self, count: int = 1) -> None:
        """Parts of it are done."""
        if self._phase is not None:
            self._bars.advance(self._phase, count)

    def step(self, number: int, logs: dict[str, Any]) -> None:
        """The trainer logged a step."""
        shown = {"reward": "reward", "loss": "loss", "kl": "kl", "entropy": "entropy"}
        said = " ".join(f"{name} {float(logs[k]):.3g}" for k, name in shown.items() if k in logs)
        if self._phase is not None:
            self._bars.update(self._phase, said=said)
        if self._bars.disable and time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            self._console.print(f"step {number}: {said}")

    def message(self, text: str) -> None:
        """Something that a person should know."""
        self._console.print(text)

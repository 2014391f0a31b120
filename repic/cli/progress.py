"""Progress of a build or a run: bars on a terminal, lines in a log."""

from __future__ import annotations

import io
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from repic.pipeline import log_lines

if TYPE_CHECKING:
    from repic.pipeline.build import StagePlan, StageShard
    from repic.pipeline.stages.base import Stage

LOG_INTERVAL = 10.0
"""Seconds between two step lines in a log."""


class LogConsole(Console):
    """A console whose lines are records of the log."""

    def __init__(self) -> None:
        super().__init__(
            file=io.StringIO(), highlight=False, markup=False, emoji=False, no_color=True
        )

    def print(self, *objects: Any, **options: Any) -> None:
        """Log what would be printed."""
        with self.capture() as captured:
            super().print(*objects, **{**options, "soft_wrap": True})
        if text := captured.get().strip():
            log_lines.log.info("%s", text)


class _Bars:
    def __init__(self, console: Console, width: int, *columns: ProgressColumn) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn(f"{{task.description:<{width}}}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            *columns,
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()


class BuildProgress(_Bars):
    """Progress of a build: one bar per stage that has work to do."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, 11)
        self._scan: TaskID | None = None
        self._stage: TaskID | None = None
        self._shards = (0, 0)

    def scanned(self, count: int) -> None:
        """Called with the number of photos hashed so far; the total is unknown."""
        if self._scan is None:
            self._scan = self._bars.add_task("scan", total=None)
        self._bars.update(self._scan, completed=count)

    def stage(self, stage: Stage, plan: StagePlan) -> None:
        """Called when a stage begins: `plan.missing` of its `plan.inputs` have no result yet."""
        if self._scan is not None:
            self._bars.update(self._scan, total=self._bars.tasks[self._scan].completed)
        if not plan.shards:
            return
        self._stage = self._bars.add_task(stage.name, total=plan.missing)
        self._shards = (0, len(plan.shards))
        if self._bars.disable:
            cached = plan.inputs - plan.missing
            self._console.print(f"{stage.name}: {plan.missing} to do, {cached} cached")

    def shard(self, stage: Stage, shard: StageShard) -> None:
        """Called when a shard is done."""
        assert self._stage is not None
        self._bars.advance(self._stage, shard.inputs.num_rows)
        done, total = self._shards[0] + 1, self._shards[1]
        self._shards = (done, total)
        if log_lines.wanted():
            place = {"stage": stage.name, "shard": f"{done}/{total}"}
            about = {**place, "counts": {"rows": shard.inputs.num_rows}}
            log_lines.log.info("%s: %d of %d shards", stage.name, done, total, extra=about)


class RunProgress(_Bars):
    """Progress of a training run, an evaluation or a refresh: one bar per phase, with metrics."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, 15, TextColumn("{task.fields[metrics]}"))
        self._phase: TaskID | None = None
        self._logged = float("-inf")

    def phase(self, name: str, total: int | None) -> None:
        """Called when a phase of `total` parts begins; None if their number is not known."""
        self._phase = self._bars.add_task(name, total=total, metrics="")
        if self._bars.disable:
            self._console.print(name if total is None else f"{name}: {total}")

    def advance(self, count: int = 1) -> None:
        """Called when `count` parts of the phase are done."""
        if self._phase is not None:
            self._bars.advance(self._phase, count)

    def step(self, number: int, logs: dict[str, Any]) -> None:
        """Called when the trainer logs a step."""
        names = ("reward", "loss", "kl", "entropy")
        found = {name: logs.get(name) for name in names}  # without scored answers, reward is None
        numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
        metrics = " ".join(f"{name} {value:.3g}" for name, value in numbers.items())
        if self._phase is not None:
            self._bars.update(self._phase, metrics=metrics)
        if self._bars.disable and time.monotonic() - self._logged > LOG_INTERVAL:
            self._logged = time.monotonic()
            self._console.print(f"step {number}: {metrics}")

    def message(self, text: str) -> None:
        """Called with a sentence for the user."""
        self._console.print(text)

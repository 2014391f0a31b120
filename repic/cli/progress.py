"""How far a build is: bars on a terminal, one line per stage in a log."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

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

    from repic.build import Plan, Shard
    from repic.stages.base import Stage


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

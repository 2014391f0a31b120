"""What each kind of fault did, and the table of all of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Record:
    """One line of the table.

    Attributes:
        fault: What is put in.
        survived: Number of faults after which nothing was lost.
        losses: A sentence about each of the others.
        skipped: Why this fault cannot be put in on this machine; empty if it can.
    """

    fault: str
    survived: int = 0
    losses: list[str] = field(default_factory=list)
    skipped: str = ""
    seconds: float = 0.0

    def count(self, fault: str, losses: Sequence[str]) -> None:
        """Count one fault; `fault` says where it was put in."""
        if losses:
            text = f"{fault}: {'; '.join(losses)}"
            self.losses.append(text.encode("utf-8", "backslashreplace").decode())
        else:
            self.survived += 1

    @property
    def injected(self) -> int:
        """Number of faults."""
        return self.survived + len(self.losses)


@dataclass(frozen=True)
class Effort:
    """How many faults to put in, and which.

    Attributes:
        seed: Of all random choices.
        form: `short` (a few minutes), `usual`, or `full` (every one, without a limit).
    """

    seed: int = 0
    form: str = "usual"

    def draw(self, what: str) -> random.Random:
        """Random choices of one kind of fault."""
        return random.Random(f"{self.seed} {what}")

    def times(self, short: int, usual: int, full: int | None = None) -> int:
        """A number for each form; by default `full` is ten times the usual one."""
        return {"short": short, "usual": usual}.get(self.form, full or 10 * usual)


def table(records: Sequence[Record]) -> str:
    """The records as text, one per line, and the losses below."""
    names = [record.fault for record in records]
    width = max(map(len, [*names, "fault"]))
    lines = [f"{'fault':{width}}  {'injected':>8}  {'survived':>8}  {'lost':>6}  {'seconds':>7}"]
    lines += [
        f"{r.fault:{width}}  {r.injected:8,}  {r.survived:8,}  {len(r.losses):6,}  {r.seconds:7.0f}"
        for r in records
    ]
    lost = sum(len(record.losses) for record in records)
    total = sum(record.injected for record in records)
    lines.append(f"{'all':{width}}  {total:8,}  {total - lost:8,}  {lost:6,}")
    lines += [f"skipped: {r.fault}: {r.skipped}" for r in records if r.skipped]
    lines += [f"lost: {r.fault}: {loss}" for r in records for loss in r.losses]
    return "\n".join(lines)

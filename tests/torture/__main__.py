"""`python -m tests.torture`: put faults in, and print one table; exit code 1 if anything is lost.

--seed 7     other random choices
--full       every fault instead of a sample
--short      a few of each kind, in a few minutes
--only WORD  only lines whose name has this word
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.torture import (
    calls,
    crowd,
    errors,
    flips,
    frozen,
    kills,
    pictures,
    places,
    power,
    suites,
)
from tests.torture.processes import Child, begin, ended, finish
from tests.torture.record import Effort, Record, table
from tests.torture.world import World

AT_ONCE = 3
"""Lines that are worked on at the same time; on two cores, because all of them wait for disks."""


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        work: The command that the faults go into.
        alone: It needs the whole machine.
        watching: It watches system calls.
    """

    name: str
    run: Callable[[World, Effort, Record], None]
    work: str = ""
    alone: bool = False
    watching: bool = False


def lines(effort: Effort) -> Iterator[Line]:
    """All lines in the order of the table."""
    moments = {"build": 16, "gc": 8, "repair": 8, "train": 9, "evaluate": 9}
    for name, usual in moments.items():
        kill = partial(kills.at_moments, name=name, times=effort.times(2, usual))
        yield Line(f"SIGKILL of {name}", kill, name)
    for name, usual in {"first build": 18, "build": 18, "gc": 7, "repair": 7}.items():
        kill = partial(kills.in_publish, name=name, times=effort.times(3, usual))
        yield Line(f"SIGKILL in the publish of {name}", kill, name, watching=True)
    for name, usual in {"first build": 20, "build": 20, "gc": 10}.items():
        cut = partial(power.power_cuts, name=name, times=effort.times(4, usual))
        yield Line(f"power cut in {name}", cut, name, watching=True)
    for name in ("build", "gc"):
        fail = partial(errors.failing_calls, name=name)
        yield Line(f"EIO, ENOSPC, EDQUOT, EPERM in {name}", fail, name, watching=True)
    for name in ("build", "gc"):
        yield Line(f"flipped bit, then {name}", partial(flips.flipped_bits, name=name), name)
    yield Line("wrong clock", places.clocks, "build")
    yield Line("time zone", places.time_zones, "build")
    yield Line("locale", places.locales, "build")
    yield Line("awkward names", places.names, "first build")
    yield Line("frozen first format", frozen.first_format)
    yield Line("newer format", frozen.newer_formats)
    yield Line("hostile pictures", pictures.bombs)
    yield Line("mutated pictures", pictures.mutations)
    for name, nodes in SUITES.items():
        if effort.form != "short":
            yield Line(name, partial(suites.of_package, nodes=nodes))
    local = crowd.on_local_disk
    yield Line("8 writers, tags, gc", partial(local, apart=False), alone=True)
    yield Line("8 writers across PID namespaces", partial(local, apart=True), alone=True)
    yield Line("8 writers on S3", crowd.on_s3, alone=True)


SUITES = {
    "fuzzed requests to reward workers": (
        "tests/rewards/server/test_fuzz.py",
        "tests/rewards/server/test_raw.py",
    ),
    "foreign requests to Prefect": ("tests/flows/test_foreign_requests.py",),
    "Prefect restarted, gone, locked": ("tests/flows/test_interruptions.py",),
    "made-up tables, manifests, refs": (
        "tests/storage/test_documents.py",
        "tests/storage/test_hashing.py",
        "tests/tables",
    ),
    "made-up settings": ("tests/config",),
}
"""Lines that are tests of other packages."""


def main() -> int:
    """Run the lines that were asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    forms = parser.add_mutually_exclusive_group()
    for form in ("short", "full"):
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form)
    asked = parser.parse_args()
    effort = Effort(asked.seed, asked.form or "usual")
    chosen = [line for line in lines(effort) if asked.only.lower() in line.name.lower()]
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    try:
        records = work_through(chosen, World(folder), effort)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(records))
    return 1 if any(record.losses for record in records) else 0


def work_through(chosen: list[Line], world: World, effort: Effort) -> list[Record]:
    """Run the lines, some at a time, each in a process forked from this one."""
    started = time.monotonic()
    world.prepare({line.work for line in chosen})
    _say(started, "prepared")
    unwatched = calls.unavailable()
    records: dict[str, Record] = {}
    running: dict[str, Child] = {}
    waiting = sorted(chosen, key=lambda line: line.alone)
    while waiting or running:
        while waiting and len(running) < (1 if waiting[0].alone else AT_ONCE):
            if waiting[0].alone and running:
                break
            line = waiting.pop(0)
            if line.watching and unwatched:
                records[line.name] = Record(line.name, skipped=unwatched)
                continue
            running[line.name] = begin(partial(_worked, line, world, effort), loud=True)
            if line.alone:
                break
        for name in ended(running):
            outcome = finish(running.pop(name))
            record = outcome.value or Record(name)
            if outcome.kind != "done":
                record.count("the line", [f"{outcome.kind} {outcome.error} {outcome.trace}"])
            if not record.injected and not record.skipped:
                record.count("the line", ["it puts in no fault"])
            records[name] = record
            _say(started, f"{name}: {record.survived} survived, {len(record.losses)} lost")
            for loss in record.losses:
                _say(started, f"lost: {name}: {loss}")
    return [records[line.name] for line in chosen]


def _worked(line: Line, world: World, effort: Effort) -> Record:
    record, started = Record(line.name), time.monotonic()
    line.run(world, effort, record)
    record.seconds = time.monotonic() - started
    return record


def _say(started: float, what: str) -> None:
    print(f"{time.monotonic() - started:5.0f} s  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

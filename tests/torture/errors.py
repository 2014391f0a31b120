"""System calls that fail: at each write, listing and read of a build and of a gc."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.torture import calls
from tests.torture.calls import LIST, LOOK, READ, WRITE, Call
from tests.torture.oracle import losses
from tests.torture.record import Effort, Record
from tests.torture.world import Work, World, run

FULL = ("write", "open", "mkdir", "rename", "link", "truncate", "fsync")
"""Calls that need space."""


@dataclass(frozen=True)
class Failure:
    """The call with this number fails; if `lasting`, so do all later ones of its kind."""

    at: Call
    error: int
    lasting: bool

    def __str__(self) -> str:
        lasting = " and later" if self.lasting else ""
        error, where = errno.errorcode[self.error], " ".join(self.at.paths)
        return f"{error} at call {self.at.number}{lasting} ({self.at.name} {where})"

    def answer(self, call: Call) -> int:
        """Errno for a call."""
        if call.number == self.at.number:
            return self.error
        if not self.lasting or call.number < self.at.number or call.kind != self.at.kind:
            return 0
        if call.kind != WRITE:
            return self.error if call.paths == self.at.paths else 0
        return self.error if call.name in FULL and _in_store(call) else 0


def failing_calls(world: World, effort: Effort, record: Record, name: str) -> None:
    """Put errors into the calls of one command."""
    work = world.works[name]
    draw = effort.draw(record.fault)
    seen = enumerated(world, work)
    every = possible(seen)
    chosen = every if effort.form == "full" else sample(every, effort.times(12, 60), draw)
    for failure in chosen:
        record.count(str(failure), trial(world, work, failure))


def enumerated(world: World, work: Work) -> list[Call]:
    """The calls of an undisturbed command on the photos and on the store, in order."""
    seen: list[Call] = []
    store = world.trial(work.store)

    def note(call: Call) -> int:
        seen.append(call)
        return 0

    calls.supervised(lambda: run(work.arguments, store), world.folder, note)
    world.discard(store)
    return seen


def possible(seen: list[Call]) -> list[Failure]:
    """The failures that a disk can show at these calls."""
    found = []
    for call in seen:
        if not (_in_store(call) or "photos" in call.paths[0]):
            continue
        for error in _errors(call):
            found += [Failure(call, error, lasting) for lasting in (False, True)]
    return found


def sample(failures: list[Failure], count: int, draw: Random) -> list[Failure]:
    """Some of them, spread evenly over calls, kinds of files, and errors."""
    groups: dict[object, list[Failure]] = defaultdict(list)
    for failure in failures:
        groups[failure.at.name, failure.at.kind, _area(failure.at), failure.error].append(failure)
    piles = [draw.sample(pile, len(pile)) for pile in groups.values()]
    draw.shuffle(piles)
    chosen: list[Failure] = []
    while len(chosen) < count and any(piles):
        chosen += [pile.pop() for pile in piles if pile]
    return chosen[:count]


def trial(world: World, work: Work, failure: Failure) -> list[str]:
    """Run the command with one failure; returns what was lost."""
    store = world.trial(work.store)
    outcome = calls.supervised(partial(run, work.arguments, store), world.folder, failure.answer)
    in_photo = not _in_store(failure.at)
    found = losses(world, work, store, outcome, may_differ=in_photo)
    world.discard(store)
    return found


def _errors(call: Call) -> Iterator[int]:
    if call.kind == WRITE:
        yield from (errno.EIO, errno.EPERM)
        if call.name in FULL:
            yield from (errno.ENOSPC, errno.EDQUOT)
    elif call.kind in (READ, LIST, LOOK):
        yield errno.EIO
        if call.name == "open":
            yield errno.EPERM


def _in_store(call: Call) -> bool:
    return call.paths[0].startswith("trials/")


def _area(call: Call) -> str:
    parts = call.paths[-1].split(os.sep)
    return parts[3] if len(parts) > 3 else parts[-1]

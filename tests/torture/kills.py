"""SIGKILL at random moments, and at random system calls of a publish."""

from __future__ import annotations

from functools import partial

from tests.torture import calls
from tests.torture.calls import DIE, WRITE, Call
from tests.torture.errors import enumerated
from tests.torture.oracle import losses
from tests.torture.processes import forked
from tests.torture.record import Effort, Record
from tests.torture.world import World, run

PUBLISHED = ("shards", "files", "manifests", "refs", "tmp", "catalog.duckdb")
"""Places of a store that a publish writes to."""


def at_moments(world: World, effort: Effort, record: Record, name: str, times: int) -> None:
    """Kill a command after random times."""
    work = world.works[name]
    draw = effort.draw(record.fault)
    for _ in range(times):
        store = world.trial(work.store)
        moment = draw.uniform(0, work.seconds)
        outcome = forked(partial(run, work.arguments, store), kill_after=moment)
        record.count(f"after {moment:.3f} s", losses(world, work, store, outcome))
        world.discard(store)


def in_publish(world: World, effort: Effort, record: Record, name: str, times: int) -> None:
    """Kill a command before random writes of a publish; `full`: before each of them."""
    work = world.works[name]
    seen = [call for call in enumerated(world, work) if of_publish(call)]
    chosen = seen if effort.form == "full" else effort.draw(record.fault).choices(seen, k=times)
    for at in chosen:
        store = world.trial(work.store)
        outcome = calls.supervised(
            partial(run, work.arguments, store),
            world.folder,
            lambda call, at=at: DIE if call.number == at.number else 0,
        )
        fault = f"before call {at.number} ({at.name} {at.paths[-1]})"
        record.count(fault, losses(world, work, store, outcome))
        world.discard(store)


def of_publish(call: Call) -> bool:
    """Whether a call changes what a publish changes."""
    parts = call.paths[-1].split("/")
    return (
        call.kind == WRITE and parts[0] == "trials" and parts[3:4] != [] and parts[3] in PUBLISHED
    )

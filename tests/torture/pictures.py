"""Hostile and mutated pictures, in a process with little memory."""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial

from repic.images import decode
from tests import bad_images
from tests.odd_images import encode, picture
from tests.torture.processes import forked
from tests.torture.record import Effort, Record
from tests.torture.world import World

BYTES = 4 * 4 * decode.MAX_PIXELS
"""Memory that decoding may take on top of what the process has: the three copies of the largest
picture that `repic.images.decode` allows, and one inside of a decoder."""

AT_A_TIME = 250
"""Mutated pictures per process."""


def bombs(world: World, effort: Effort, record: Record) -> None:
    """Every hostile picture is decoded within bounds or refused."""
    del world
    names = sorted(bad_images.BOMBS)
    for name in names[:: effort.times(6, 1, 1)]:
        data = bad_images.BOMBS[name]()
        record.count(name, _told(partial(bad_images.outcome, data)))


def mutations(world: World, effort: Effort, record: Record) -> None:
    """Mutated JPEG, PNG, WebP, GIF and ICO files are decoded or refused."""
    del world
    count = effort.times(250, 5_000, 100_000)
    for start in range(effort.seed * count, (effort.seed + 1) * count, AT_A_TIME):
        found = _told(partial(bad_images.torture, AT_A_TIME, start))
        if found:
            record.count(f"mutations {start} to {start + AT_A_TIME}", found)
        else:
            record.survived += AT_A_TIME


def _told(decoding: Callable[[], object]) -> list[str]:
    outcome = forked(lambda: _bounded(decoding))
    if outcome.kind == "done":
        return []
    return [f"{outcome.kind} {outcome.error} {outcome.trace[-600:]}"]


def _bounded(decoding: Callable[[], object]) -> object:
    for kind in ("AVIF", "JPEG", "PNG", "WEBP", "JPEG2000", "TIFF"):
        decode.probe(encode(picture(), kind))
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    bound = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    return decoding()

"""One flipped bit in one file of a store: it is found or harmless, and never read as content."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random

from storage.errors import StoreError
from storage.integrity import verify
from storage.store import Store
from tests.torture.oracle import differences, told, unexpected
from tests.torture.processes import forked
from tests.torture.record import Effort, Record
from tests.torture.world import State, World, content, expect, run, state


def flipped_bits(world: World, effort: Effort, record: Record, name: str) -> None:
    """Flip a bit of each file, then read the store, verify it, and build on it."""
    work = world.works[name]
    draw = effort.draw(record.fault)
    folder = world.stores(work.store)
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    if effort.form == "short":
        files = draw.sample(files, 8)
    known: State = expect(forked(lambda: every(Store.open(folder))))
    for path in files:
        for _ in range(effort.times(1, 1, 50)):
            store = world.trial(work.store)
            place = flip(store / path, draw)
            fault = f"bit {place} of {path}"
            found = told(forked(partial(_reading, store, known)))
            outcome = forked(partial(run, work.arguments, store))
            found += unexpected(outcome)
            if outcome.kind == "done" and outcome.value[0] == 0:
                found += told(forked(partial(_published, store, work.after)))
            record.count(fault, found)
            world.discard(store)


def flip(path: Path, draw: Random) -> int:
    """Flip one bit of a file; returns which."""
    data = bytearray(path.read_bytes())
    bit = draw.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    return bit


def every(store: Store) -> State:
    """Content of all versions."""
    refs = [f"{name}@v{number}" for name in store.names() for number in store.versions(name)]
    return {ref: content(store, ref) for ref in refs}


def _reading(store: Path, known: State) -> list[str]:
    """Losses when the store is read: other content that verify does not find, or a traceback."""
    try:
        opened = Store.open(store)
        clean = not verify(opened)
    except (StoreError, OSError):
        return []
    try:
        seen = every(opened)
    except (StoreError, OSError) as error:
        return [f"verify finds nothing, but reading fails: {error}"] if clean else []
    if clean and seen != known:
        return [f"verify finds nothing, but {sorted(dict(seen.items() ^ known.items()))} differ"]
    return []


def _published(store: Path, expected: State) -> list[str]:
    """Losses after a build on the store has ended well."""
    problems = verify(Store.open(store), "dataset@latest")
    try:
        seen = state(store)
    except (StoreError, OSError) as error:
        return [] if problems else [f"the build ends well, but reading fails: {error}"]
    if seen == expected or problems:
        return []
    return [f"the build publishes other content: {differences(seen, [expected])}"]

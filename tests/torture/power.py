"""Power cuts: what was not fsynced may be lost, in any order.

A file keeps the bytes of its last fsync; a name keeps its meaning of the last fsync of its folder.
What changed since then is there, gone, or torn, as the seed chooses.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from tests.torture import calls
from tests.torture.calls import DIE, WRITE, Call
from tests.torture.errors import enumerated
from tests.torture.oracle import losses
from tests.torture.record import Effort, Record
from tests.torture.world import World, run

CHANCES = (0.0, 0.5, 1.0)
"""Probability that a change which was not fsynced is on the disk nevertheless."""


@dataclass(frozen=True)
class Change:
    """A name that was given to a file (None: removed), or moved from another name.

    A folder is synced by the fsync of the folder that holds its name.
    """

    name: str
    file: int | None
    moved_from: str = ""


@dataclass
class Disk:
    """The durable content of a folder, from the calls of the process that writes to it."""

    folder: Path
    inside: str
    durable: dict[str, int | None] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    now: dict[str, int | None] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)
    count: int = 0

    def __post_init__(self) -> None:
        """Everything that exists is durable. A folder is a name without a file."""
        for path in sorted((self.folder / self.inside).rglob("*")):
            name = str(path.relative_to(self.folder))
            self.durable[name] = None if path.is_dir() else self._new(path.read_bytes())
        self.now = dict(self.durable)

    def before(self, call: Call) -> None:
        """Note a call that is about to happen."""
        if call.kind != WRITE or not call.paths[-1].startswith(self.inside):
            return
        name = call.paths[-1]
        exists = os.path.lexists(self.folder / name)
        if call.name == "open" and not exists and call.flags & os.O_CREAT:
            self._change(Change(name, self._new(b"")))
        elif call.name in ("open", "write", "truncate"):
            if call.name != "open" or call.flags & os.O_TRUNC:
                self._soil(name)
        elif call.name == "mkdir" and not exists:
            self._change(Change(name, None))
        elif call.name == "link" and not exists and call.paths[0] in self.now:
            self._change(Change(name, self.now[call.paths[0]]))
        elif call.name == "rename" and call.paths[0] in self.now:
            self._change(Change(name, self.now[call.paths[0]], call.paths[0]))
        elif call.name == "unlink" and exists:
            self._change(Change(name, None, name))
        elif call.name == "fsync":
            self._sync(name)

    def cut(self, target: Path, draw: Random) -> None:
        """Write what is on the disk after a power cut at this moment."""
        chance = draw.choice(CHANCES)
        names = dict(self.durable)
        for change in self.pending:
            if draw.random() < chance:
                _apply(names, change)
        for name, file in sorted(names.items()):
            if not self._reachable(name, names):
                continue
            path = target / Path(name).relative_to(self.inside)
            if file is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._content(file, draw))

    def _new(self, content: bytes) -> int:
        self.count += 1
        self.contents[self.count] = content
        return self.count

    def _change(self, change: Change) -> None:
        self.pending.append(change)
        _apply(self.now, change)

    def _soil(self, name: str) -> None:
        file = self.now.get(name)
        if file is not None:
            self.dirty.add(file)

    def _sync(self, name: str) -> None:
        file = self.now.get(name)
        if file is not None:
            self.contents[file] = (self.folder / name).read_bytes()
            self.dirty.discard(file)
            return
        rest = []
        for change in self.pending:
            if name in (os.path.dirname(change.name), os.path.dirname(change.moved_from)):
                _apply(self.durable, change)
            else:
                rest.append(change)
        self.pending = rest

    def _content(self, file: int, draw: Random) -> bytes:
        if file not in self.dirty:
            return self.contents[file]
        names = [name for name, other in self.now.items() if other == file]
        whole = self.contents[file]
        if names and (self.folder / names[0]).exists():
            whole = (self.folder / names[0]).read_bytes()
        cut = draw.randrange(len(whole) + 1)
        return draw.choice(
            [self.contents[file], whole, whole[:cut], whole[:cut] + bytes(len(whole) - cut)]
        )

    def _reachable(self, name: str, names: dict[str, int | None]) -> bool:
        """Whether all folders of a name are on the disk."""
        parent = os.path.dirname(name)
        return parent == self.inside or (parent in names and self._reachable(parent, names))


def power_cuts(world: World, effort: Effort, record: Record, name: str, times: int) -> None:
    """Cut the power before random writes of a command; one time in eight, after its end."""
    work = world.works[name]
    draw = effort.draw(record.fault)
    seen = [call for call in enumerated(world, work) if call.kind == WRITE]
    moments = seen if effort.form == "full" else draw.choices(seen, k=times)
    for place, at in enumerate(moments):
        end = place % 8 == 0
        store = world.trial(work.store)
        disk = Disk(world.folder, str(store.relative_to(world.folder)))

        def watch(call: Call, disk: Disk = disk, at: Call = at, end: bool = end) -> int:
            if not end and call.number == at.number:
                return DIE
            disk.before(call)
            return 0

        outcome = calls.supervised(
            partial(run, work.arguments, store),
            world.folder,
            watch,
        )
        after = world.trial("")
        disk.cut(after, draw)
        world.discard(store)
        moment = "after the end" if end else f"before call {at.number} ({at.name} {at.paths[-1]})"
        record.count(moment, losses(world, work, after, outcome))
        world.discard(after)


def _apply(names: dict[str, int | None], change: Change) -> None:
    if change.moved_from:
        names.pop(change.moved_from, None)
        if change.moved_from == change.name:
            return
    names[change.name] = change.file

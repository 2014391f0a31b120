"""Refs: which version of each name is `latest`, and which have tags.

A snapshot is the complete mapping, immutable and numbered; the highest number is the truth. A move
creates the next number if it is absent, which is a compare-and-swap on any file system: so one
build moves `latest` of all its tables in one step, and the old snapshots are a log of all moves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pydantic import Field

from storage.files import Files
from storage.manifest import FORMAT_VERSION, Frozen, Run, check_format

FOLDER = "refs"


class Ref(Frozen):
    """What the selectors of one name stand for."""

    latest: int | None = None
    tags: dict[str, int] = Field(default={})

    @property
    def versions(self) -> set[int]:
        return {*self.tags.values(), *([self.latest] if self.latest else [])}

    def number(self, selector: str) -> int | None:
        """What `latest` or a tag stands for, if anything."""
        return self.latest if selector == "latest" else self.tags.get(selector)

    def moved(self, selector: str, number: int) -> Ref:
        """The same with `latest` or a tag elsewhere."""
        if selector == "latest":
            return self.model_copy(update={"latest": number})
        return self.model_copy(update={"tags": {**self.tags, selector: number}})


class Snapshot(Frozen):
    """All refs at one moment."""

    format_version: int = FORMAT_VERSION
    number: int = 0
    why: str = Field(default="", description="What moved, for example `commit images@v3`.")
    run: Run = Field(default_factory=Run.here)
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    refs: dict[str, Ref] = Field(default={})

    def of(self, name: str) -> Ref:
        return self.refs.get(name, Ref())


Refs = Mapping[str, Ref]


def numbers(files: Files) -> list[int]:
    """Numbers of all snapshots, ascending."""
    found = (re.fullmatch(rf"{FOLDER}/(\d+)\.json", path) for path in files.find(FOLDER))
    return sorted(int(match[1]) for match in found if match)


def path(number: int) -> str:
    """Path of a snapshot of the refs, relative to the store."""
    return f"{FOLDER}/{number:06d}.json"


def read(files: Files, number: int) -> Snapshot:
    """Raises: FileNotFoundError, StoreError."""
    snapshot = Snapshot.model_validate_json(files.read(path(number)))
    check_format(snapshot.format_version, files.full(path(number)))
    return snapshot


def current(files: Files) -> Snapshot:
    """The refs as they are; snapshot 0, which is empty, in a new store."""
    found = numbers(files)
    return read(files, found[-1]) if found else Snapshot()


def move(files: Files, change: Callable[[Refs], dict[str, Ref]], why: str) -> Snapshot:
    """Apply `change` to the refs in one step; again on newer refs if another process was first.

    A change that changes nothing writes nothing.
    """
    while True:
        now = current(files)
        changed = change(now.refs)
        if changed == now.refs:
            return now
        after = Snapshot(number=now.number + 1, why=why, refs=changed)
        if files.create(path(after.number), after.model_dump_json(indent=1).encode()):
            return after

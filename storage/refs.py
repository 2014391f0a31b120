"""Refs: the `latest` version and the tags of each name.

A snapshot is the complete mapping, immutable and numbered; the one with the highest number is
current. A move creates the next number if it is absent, which is a compare-and-swap on any file
system: a build moves `latest` of all its tables in one step. Older snapshots form a log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pydantic import Field

from storage.errors import StoreError
from storage.files import Files
from storage.manifest import FORMAT_VERSION, ArtifactRef, Frozen, Run, check_format

FOLDER = "refs"


class Ref(Frozen):
    """Versions that the selectors of one name refer to."""

    latest: int | None = None
    tags: dict[str, int] = Field(default={})

    @property
    def versions(self) -> set[int]:
        """All versions that a selector refers to."""
        return {*self.tags.values(), *([self.latest] if self.latest else [])}

    def number(self, selector: str) -> int | None:
        """Version of `latest` or of a tag; None if it is not set."""
        return self.latest if selector == "latest" else self.tags.get(selector)

    def moved(self, selector: str, number: int) -> Ref:
        """A copy in which `latest` or a tag refers to another version."""
        if selector == "latest":
            return self.model_copy(update={"latest": number})
        return self.model_copy(update={"tags": {**self.tags, selector: number}})


class Snapshot(Frozen):
    """All refs at one point in time."""

    format_version: int = FORMAT_VERSION
    number: int = 0
    why: str = Field(default="", description="What moved, for example `commit images@v3`.")
    run: Run = Field(default_factory=Run.here)
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    refs: dict[str, Ref] = Field(default={})

    def of(self, name: str) -> Ref:
        """Refs of a name; empty if it has none."""
        return self.refs.get(name, Ref())


Refs = Mapping[str, Ref]


def numbers(files: Files) -> list[int]:
    """Numbers of all snapshots, ascending."""
    matches = (re.fullmatch(rf"{FOLDER}/(\d+)\.json", path) for path in files.find(FOLDER))
    return sorted(int(match[1]) for match in matches if match)


def path(number: int) -> str:
    """Path of a snapshot, relative to the store."""
    return f"{FOLDER}/{number:06d}.json"


def read(files: Files, number: int) -> Snapshot:
    """Read a snapshot. Raises: FileNotFoundError, StoreError."""
    snapshot = Snapshot.model_validate_json(files.read(path(number)))
    check_format(snapshot.format_version, files.full(path(number)))
    return snapshot


def current(files: Files) -> Snapshot:
    """The current snapshot; an empty snapshot 0 in a new store."""
    existing = numbers(files)
    return read(files, existing[-1]) if existing else Snapshot()


def move(files: Files, change: Callable[[Refs], dict[str, Ref]], why: str) -> Snapshot:
    """Apply `change` to the refs atomically; repeat it if another process moved them meanwhile.

    Writes no snapshot if the refs stay the same.
    """
    while True:
        before = current(files)
        changed = change(before.refs)
        if changed == before.refs:
            return before
        after = Snapshot(number=before.number + 1, why=why, refs=changed)
        if files.create(path(after.number), after.model_dump_json(indent=1).encode()):
            return after


def parse_tag(text: str) -> ArtifactRef:
    """Parse a reference by tag.

    Raises:
        StoreError: it would read as a version or as `latest`.
    """
    ref = ArtifactRef.parse(text)
    if ref.version or ref.selector == "latest":
        raise StoreError(f"{ref.selector!r} cannot be a tag: it already means a version.")
    return ref

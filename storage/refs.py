"""Refs: the `latest` version and the tags of each name.

A snapshot is the complete mapping, immutable and numbered; the one with the highest number is
current. A move creates the next number if it is absent, which is a compare-and-swap on any file
system: a build moves `latest` of all its tables in one step. Older snapshots form a log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from storage import documents, listing
from storage.documents import Frozen, Sealed
from storage.errors import DamagedError, StoreError
from storage.files import Files
from storage.manifest import ArtifactRef, Name, Run, Version

FOLDER = "refs"


def _tag(text: str) -> str:
    try:
        return parse_tag(f"a@{text}").selector
    except StoreError as error:
        raise ValueError(str(error)) from error


class Ref(Frozen):
    """Versions that the selectors of one name refer to."""

    latest: Version | None = None
    tags: dict[Annotated[str, AfterValidator(_tag)], Version] = Field(default={})

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


class Snapshot(Sealed):
    """All refs at one point in time."""

    number: int = 0
    why: str = Field(default="", description="What moved, for example `commit images@v3`.")
    run: Run = Field(default_factory=Run.here)
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    refs: dict[Name, Ref] = Field(default={})

    def of(self, name: str) -> Ref:
        """Refs of a name; empty if it has none."""
        return self.refs.get(name, Ref())


Refs = Mapping[str, Ref]


def numbers(files: Files) -> list[int]:
    """Numbers of all snapshots, ascending; they come from the names of their files."""
    return listing.numbers(files.names(FOLDER))


def path(number: int) -> str:
    """Path of a snapshot, relative to the store."""
    return f"{FOLDER}/{number:06d}.json"


def read(files: Files, number: int) -> Snapshot:
    """Read a snapshot. Raises: FileNotFoundError, DamagedError, StoreError."""
    snapshot = documents.read(files, path(number), Snapshot)
    if snapshot.number != number:
        raise DamagedError(files.full(path(number)), f"it is snapshot {snapshot.number}")
    return snapshot


def current(files: Files) -> Snapshot:
    """The current snapshot; an empty snapshot 0 in a new store. Raises: StoreError."""
    snapshots = files.numbered(FOLDER)
    while newest := snapshots.newest():
        try:
            return read(files, newest)
        except FileNotFoundError:  # set aside or removed since
            snapshots.forget()
    return Snapshot()


def move(files: Files, change: Callable[[Refs], dict[str, Ref]], why: str) -> Snapshot:
    """Apply `change` to the refs atomically; repeat it if another process moved them meanwhile.

    Writes no snapshot if the refs stay the same.

    Raises:
        StoreError: the current refs cannot be read, or the new ones not written.
    """
    while True:
        before = current(files)
        changed = change(before.refs)
        if changed == before.refs:
            return before
        after = Snapshot(number=before.number + 1, why=why, refs=changed)
        if files.create(path(after.number), documents.encode(after)):
            return after
        if after.number not in numbers(files):
            raise StoreError(
                f"Refs cannot move: {files.full(path(after.number))} is there, but is no file; "
                "move it away."
            )


def parse_tag(text: str) -> ArtifactRef:
    """Parse a reference by tag.

    Raises:
        StoreError: it would read as a version or as `latest`.
    """
    ref = ArtifactRef.parse(text)
    if ref.version or ref.selector == "latest":
        raise StoreError(f"{ref.selector!r} cannot be a tag: it already means a version.")
    return ref

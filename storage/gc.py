"""Garbage collection: find, and on request delete, files that no version or ref reaches.

Nothing is deleted that anybody needs, for these reasons:

1. The collector writes its lease before it looks for others, and a build likewise. If both start at
   once, the collector sees the build and deletes nothing, or the build waits, or both.
2. Candidates are listed first, then versions and refs are read. A file that appears after the
   listing is no candidate; one that a version names by the time of the reading is reached.
3. A listing is complete or an error, and what names files must be there: see `storage.reach`. All
   this is read twice, in full, and must be the same. An error at any point comes before the first
   deletion, so "cannot be read" never passes for "is not there".
4. Before each deletion the collector checks that its lease is still there. Only a person removes
   it, and then a build may have started.
5. Deletions are in an order in which an interruption at any point leaves a whole store: a version
   goes before its inputs and its files, a job before the folders that it keeps. Such a deletion is
   durable before the next one begins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from storage import jobs, kept_parts, reach, refs, withdrawn
from storage.errors import StoreError
from storage.files import TEMPORARY, Files
from storage.jobs import UnfinishedJob
from storage.leases import FOLDER, AnyLease, Leases
from storage.reach import Reach
from storage.reader import StoreReader, manifest_path
from storage.store import Store

KEEP_SNAPSHOTS = 1000
"""Number of refs snapshots that are kept."""

OLD_REFS = "old entry of the refs log"

CONTENT = {
    "shards": "shard that no version names",
    "files": "file that no version names",
    "parts": "part that no version names",
    TEMPORARY: "temporary file",
}
"""Folder -> why a file of it may be deleted, in order of deletion."""

FOLDERS = ("manifests", jobs.FOLDER, kept_parts.FOLDER, *CONTENT, FOLDER, refs.FOLDER)
"""All folders in which gc deletes."""


@dataclass(frozen=True)
class UnreachableFile:
    """A file to delete.

    Attributes:
        path: Relative to the store.
        bytes: Its size.
        reason: Why it can be deleted.
        barrier: Whether the next file may only be deleted after this one is durably gone.
    """

    path: str
    bytes: int
    reason: str
    barrier: bool = False


@dataclass(frozen=True)
class UnfinishedWork:
    """An unfinished job and the size of its files; gc deletes them if `forgotten`."""

    job: UnfinishedJob
    bytes: int
    forgotten: bool


@dataclass(frozen=True)
class Garbage:
    """Result of a garbage collection.

    Attributes:
        files: Files in order of deletion, so that an interruption leaves a consistent store.
        unfinished: Interrupted jobs, which may be resumed.
        deleted: Whether the files were deleted.
        blocked_by: Leases of processes that may be running, which prevent deletion.
    """

    files: tuple[UnreachableFile, ...]
    unfinished: tuple[UnfinishedWork, ...] = ()
    deleted: bool = False
    blocked_by: tuple[AnyLease, ...] = ()

    @property
    def bytes(self) -> int:
        """Total size of the files."""
        return sum(file.bytes for file in self.files)


def gc(
    store: Store,
    *,
    delete: bool = False,
    keep_versions: int | None = None,
    forget: timedelta = jobs.EXPIRY,
    forget_leases: Collection[str] = (),
) -> Garbage:
    """Find, and with `delete` remove, files that no version or ref reaches.

    These are temporary files, shards and parts that no manifest names, leases of dead processes,
    and refs snapshots beyond the newest 1,000. The parts of an interrupted build count as garbage:
    finish the build first to keep them. The folders of an unfinished job, and parts that a build
    keeps for the next one, stay until they expire.

    Args:
        keep_versions: Also delete versions, except the newest `keep_versions` of each name, any
            that a ref names, and the inputs of both. By default all versions are kept.
        forget: Also delete unfinished jobs that were not resumed for this long, and parts that no
            version names and no build has used for this long.
        forget_leases: Ids of leases of other machines or containers whose process has ended.

    Raises:
        NotFoundError: a lease to forget does not exist.
        StoreError: `keep_versions` is below 1, a lease to forget is of a running process, the store
            cannot be written, or something cannot be read; then nothing is deleted.
    """
    if keep_versions is not None and keep_versions < 1:
        raise StoreError("keep_versions must be 1 or more: the newest version is always kept.")
    _check_links(store.files)
    reader = StoreReader(store.location, store.options)
    oldest = datetime.now(UTC) - forget
    if not delete:
        live = store.leases.live(forget_leases)
        return replace(_collect(reader, store.leases, keep_versions, oldest), blocked_by=live)
    with store.leases.gc() as own:
        for id in forget_leases:
            store.leases.forget(id)
        garbage = _collect(reader, store.leases, keep_versions, oldest)
        if live := store.leases.others(own):
            return replace(garbage, blocked_by=live)
        again = _collect(reader, store.leases, keep_versions, oldest)
        if again != garbage or store.leases.others(own):
            raise StoreError(
                f"Two readings of {store.location} differ, so nothing is deleted: check the disk "
                "or the connection, and run again."
            )
        try:
            for file in garbage.files:
                store.leases.check(own)
                (store.files.remove if file.barrier else store.files.discard)(file.path)
        finally:
            store.forget()
    store.changed()
    return replace(garbage, deleted=True)


def _check_links(files: Files) -> None:
    """Check that nothing outside the store would be deleted. Raises: StoreError."""
    for folder in FOLDERS:
        if files.is_link(folder):
            raise StoreError(
                f"{files.full(folder)} is a link, and gc deletes only inside the store: put the "
                "folder itself in its place, or mount it there."
            )


def _collect(
    reader: StoreReader, leases: Leases, keep_versions: int | None, oldest: datetime
) -> Garbage:
    """Read the whole store; only the content of manifests may come from an earlier reading."""
    files = reader.files
    listed = {folder: files.find(folder) for folder in FOLDERS}
    reached = reach.read(reader)
    unfinished = jobs.find(files)
    kept_jobs = [job for job in unfinished if job.touched > oldest]
    cards = kept_parts.find(files, oldest)
    gone = withdrawn.find(files)
    kept = (manifest for manifest in reached.kept(keep_versions) if manifest.ref not in gone)
    named = {part.path for manifest in kept for part in manifest.stored}
    named |= {path for card in cards.values() for path in card.paths}
    sizes = {path: size for folder in listed.values() for path, size in folder.items()}
    garbage = (
        *_versions(reached, keep_versions, listed["manifests"]),
        *_jobs(kept_jobs, listed[jobs.FOLDER]),
        *_cards(cards, listed[kept_parts.FOLDER]),
        *_content(named, kept_jobs, listed),
        *_leases(leases.find(), listed[FOLDER]),
        *_old_refs(refs.numbers(files), listed[refs.FOLDER]),
    )
    work = [
        UnfinishedWork(
            job,
            sum(size for path, size in sizes.items() if job.holds(path)),
            job.touched <= oldest,
        )
        for job in unfinished
    ]
    return Garbage(garbage, tuple(work))


def _versions(
    reached: Reach, keep_versions: int | None, listed: dict[str, int]
) -> Iterator[UnreachableFile]:
    """Manifests, outputs before their inputs."""
    kept = {manifest.ref for manifest in reached.kept(keep_versions)}
    for manifest in reversed(reached.versions):
        path = manifest_path(manifest.name, manifest.version)
        if manifest.ref not in kept and path in listed:
            yield UnreachableFile(path, listed[path], "version that no ref reaches", barrier=True)


def _jobs(kept: Sequence[UnfinishedJob], listed: dict[str, int]) -> Iterator[UnreachableFile]:
    """Files of jobs, each `job.json` before the folders that it keeps."""
    for path in sorted(listed, key=lambda path: (not jobs.is_card(path), path)):
        if not any(job.holds(path) for job in kept):
            reason = "job that was not resumed"
            yield UnreachableFile(path, listed[path], reason, barrier=jobs.is_card(path))


def _cards(current: Collection[str], listed: dict[str, int]) -> Iterator[UnreachableFile]:
    """Cards of parts that no build has used for long."""
    for path in sorted(listed.keys() - set(current)):
        yield UnreachableFile(path, listed[path], "kept parts that no build used")


def _content(
    named: Set[str], kept_jobs: Sequence[UnfinishedJob], listed: dict[str, dict[str, int]]
) -> Iterator[UnreachableFile]:
    """Shards, files, parts and temporary files."""
    for folder, reason in CONTENT.items():
        for path, size in sorted(listed[folder].items()):
            if path not in named and not any(job.holds(path) for job in kept_jobs):
                yield UnreachableFile(path, size, reason)


def _leases(leases: Sequence[AnyLease], listed: dict[str, int]) -> Iterator[UnreachableFile]:
    """Leases of dead processes. A file that is no lease stays."""
    for lease in leases:
        if not lease.live and lease.path in listed:
            yield UnreachableFile(lease.path, listed[lease.path], "lease of a dead process")


def _old_refs(numbers: Sequence[int], listed: dict[str, int]) -> Iterator[UnreachableFile]:
    """Snapshots of refs before the newest, oldest first."""
    for number in numbers[:-KEEP_SNAPSHOTS]:
        path = refs.path(number)
        if path in listed:
            yield UnreachableFile(path, listed[path], OLD_REFS, barrier=True)

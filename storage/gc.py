"""Removes what nothing can reach. Shows what it would remove unless it is told to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from storage import jobs as unfinished
from storage import refs
from storage.errors import StoreError
from storage.files import TEMPORARY
from storage.jobs import UnfinishedJob
from storage.leases import FOLDER, Lease
from storage.lineage import closure
from storage.manifest import ArtifactRef, Manifest
from storage.reader import manifest_path
from storage.store import Store

KEEP_SNAPSHOTS = 1000
"""Moves of refs that stay in the log."""

OLD_REFS = "old entry of the refs log"


@dataclass(frozen=True)
class UnreachableFile:
    """A file that nothing reaches: path relative to the store, size, and what it is."""

    path: str
    bytes: int
    reason: str


@dataclass(frozen=True)
class UnfinishedWork:
    """A job that has not ended, and the size of all that it keeps; `forgotten` if gc takes that."""

    job: UnfinishedJob
    bytes: int
    forgotten: bool


@dataclass(frozen=True)
class Garbage:
    """What gc found.

    Attributes:
        files: In the order of removal, which leaves a whole store if it is interrupted.
        unfinished: Jobs that were killed, and may be gone on with.
        deleted: Whether the files are gone.
        blocked_by: Live builds, because of which nothing is deleted.
    """

    files: tuple[UnreachableFile, ...]
    unfinished: tuple[UnfinishedWork, ...] = ()
    deleted: bool = False
    blocked_by: tuple[Lease, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def gc(
    store: Store,
    *,
    delete: bool = False,
    keep_versions: int | None = None,
    forget: timedelta = unfinished.FORGOTTEN,
) -> Garbage:
    """Find, and with `delete` remove, files that neither a version nor a ref reaches.

    That is: temporary files, shards and parts that no manifest names, stale leases, refs log
    entries beyond the newest 1,000. A part of a build that was interrupted counts as garbage, too;
    run the build again first to keep it. What an unfinished job keeps is left alone for a while.

    Args:
        keep_versions: Also drop versions, except the newest this many of each name, those that a
            ref reaches, and all that these were made from. By default every version stays.
        forget: An unfinished job that nobody went on with for so long is removed, too.

    Raises:
        StoreError: `keep_versions` is below 1, or the store cannot be written.
    """
    if keep_versions is not None and keep_versions < 1:
        raise StoreError("keep_versions must be 1 or more: the newest version always stays.")
    if not delete:
        live = [lease for lease in store.leases.find() if lease.live]
        return _found(store, keep_versions, forget, live)
    with store.leases.gc() as live:
        found = _found(store, keep_versions, forget, live)
        if live:
            return found
        for file in found.files:
            store.files.remove(file.path)
        store.forget()
    store.changed()
    return replace(found, deleted=True)


def _found(
    store: Store, keep_versions: int | None, forget: timedelta, live: Sequence[Lease]
) -> Garbage:
    oldest = datetime.now(UTC) - forget
    jobs = unfinished.find(store.files)
    sizes: dict[str, int] = {}
    for folder in {folder for job in jobs for folder in job.folders}:
        sizes |= store.files.find(folder)
    return Garbage(
        tuple(_doomed(store, keep_versions, [job for job in jobs if job.touched > oldest])),
        tuple(
            UnfinishedWork(
                job,
                sum(size for path, size in sizes.items() if job.holds(path)),
                job.touched <= oldest,
            )
            for job in jobs
        ),
        blocked_by=tuple(live),
    )


def _doomed(
    store: Store, keep_versions: int | None, jobs: Sequence[UnfinishedJob]
) -> Iterator[UnreachableFile]:
    """Manifests come before the shards that only they name, and outputs before their inputs; the
    card of a job before what it keeps.

    Args:
        jobs: UnfinishedWork ones, which somebody may still go on with.
    """
    every = [
        store.manifest(ArtifactRef.exact(name, version))
        for name in store.names()
        for version in store.versions(name)
    ]
    kept = every if keep_versions is None else _kept(store, every, keep_versions)
    kept_refs = {manifest.ref for manifest in kept}
    sizes = store.files.find("manifests")
    for manifest in reversed(closure(store, every)):
        if manifest.ref not in kept_refs:
            path = manifest_path(manifest.name, manifest.version)
            yield UnreachableFile(path, sizes[path], "version that no ref reaches")

    left = store.files.find(unfinished.FOLDER)
    for path in sorted(left, key=lambda path: (not unfinished.is_card(path), path)):
        if not any(job.holds(path) for job in jobs):
            yield UnreachableFile(path, left[path], "work that nobody goes on with")

    reached = {part.path for manifest in kept for part in manifest.stored}
    for folder, reason in (
        ("shards", "shard that no version names"),
        ("files", "file that no version names"),
        ("parts", "part that no version names"),
        (TEMPORARY, "temporary file"),
    ):
        for path, size in sorted(store.files.find(folder).items()):
            if path not in reached and not any(job.holds(path) for job in jobs):
                yield UnreachableFile(path, size, reason)

    live = {lease.path for lease in store.leases.find() if lease.live}
    for path, size in sorted(store.files.find(FOLDER).items()):
        if path not in live:
            yield UnreachableFile(path, size, "lease of a dead process")

    newest = refs.numbers(store.files)[-KEEP_SNAPSHOTS:]
    for path, size in sorted(store.files.find(refs.FOLDER).items()):
        if newest and path not in {refs.path(number) for number in newest}:
            yield UnreachableFile(path, size, OLD_REFS)


def _kept(store: Store, every: list[Manifest], newest: int) -> list[Manifest]:
    """Versions among the newest of their name, or that a ref reaches, and all their inputs."""
    current = store.current()
    roots = [
        manifest
        for manifest in every
        if manifest.version in store.versions(manifest.name)[-newest:]
        or manifest.version in current.of(manifest.name).versions
    ]
    return closure(store, roots)

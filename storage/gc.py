"""Garbage collection: find, and on request delete, files that no version or ref reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from storage import jobs, refs
from storage.errors import StoreError
from storage.files import TEMPORARY
from storage.jobs import UnfinishedJob
from storage.leases import FOLDER, Lease
from storage.lineage import closure
from storage.manifest import ArtifactRef, Manifest
from storage.reader import manifest_path
from storage.store import Store

KEEP_SNAPSHOTS = 1000
"""Number of refs snapshots that are kept."""

OLD_REFS = "old entry of the refs log"


@dataclass(frozen=True)
class UnreachableFile:
    """A file to delete: path relative to the store, size in bytes, and why."""

    path: str
    bytes: int
    reason: str


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
        blocked_by: Live builds that prevent deletion.
    """

    files: tuple[UnreachableFile, ...]
    unfinished: tuple[UnfinishedWork, ...] = ()
    deleted: bool = False
    blocked_by: tuple[Lease, ...] = ()

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
) -> Garbage:
    """Find, and with `delete` remove, files that no version or ref reaches.

    These are temporary files, shards and parts that no manifest names, leases of dead processes,
    and refs snapshots beyond the newest 1,000. The parts of an interrupted build count as garbage:
    finish the build first to keep them. The folders of an unfinished job are kept until it expires.

    Args:
        keep_versions: Also delete versions, except the newest `keep_versions` of each name, any
            that a ref names, and the inputs of both. By default all versions are kept.
        forget: Also delete unfinished jobs that were not resumed for this long.

    Raises:
        StoreError: `keep_versions` is below 1, or the store cannot be written.
    """
    if keep_versions is not None and keep_versions < 1:
        raise StoreError("keep_versions must be 1 or more: the newest version is always kept.")
    if not delete:
        live = [lease for lease in store.leases.find() if lease.live]
        return _collect(store, keep_versions, forget, live)
    with store.leases.gc() as live:
        garbage = _collect(store, keep_versions, forget, live)
        if live:
            return garbage
        for file in garbage.files:
            store.files.remove(file.path)
        store.forget()
    store.changed()
    return replace(garbage, deleted=True)


def _collect(
    store: Store, keep_versions: int | None, forget: timedelta, live: Sequence[Lease]
) -> Garbage:
    oldest = datetime.now(UTC) - forget
    unfinished = jobs.find(store.files)
    sizes: dict[str, int] = {}
    for folder in {folder for job in unfinished for folder in job.folders}:
        sizes |= store.files.find(folder)
    return Garbage(
        tuple(
            _unreachable(store, keep_versions, [job for job in unfinished if job.touched > oldest])
        ),
        tuple(
            UnfinishedWork(
                job,
                sum(size for path, size in sizes.items() if job.holds(path)),
                job.touched <= oldest,
            )
            for job in unfinished
        ),
        blocked_by=tuple(live),
    )


def _unreachable(
    store: Store, keep_versions: int | None, kept_jobs: Sequence[UnfinishedJob]
) -> Iterator[UnreachableFile]:
    """Unreachable files in order of deletion.

    Manifests come before the shards that only they name, outputs before their inputs, and the
    `job.json` of a job before the folders that it keeps.

    Args:
        kept_jobs: Unfinished jobs that may be resumed.
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

    sizes = store.files.find(jobs.FOLDER)
    for path in sorted(sizes, key=lambda path: (not jobs.is_card(path), path)):
        if not any(job.holds(path) for job in kept_jobs):
            yield UnreachableFile(path, sizes[path], "job that was not resumed")

    reached = {part.path for manifest in kept for part in manifest.stored}
    for folder, reason in (
        ("shards", "shard that no version names"),
        ("files", "file that no version names"),
        ("parts", "part that no version names"),
        (TEMPORARY, "temporary file"),
    ):
        for path, size in sorted(store.files.find(folder).items()):
            if path not in reached and not any(job.holds(path) for job in kept_jobs):
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
    """The newest versions of each name, any that a ref names, and the inputs of both."""
    current = store.current()
    roots = [
        manifest
        for manifest in every
        if manifest.version in store.versions(manifest.name)[-newest:]
        or manifest.version in current.of(manifest.name).versions
    ]
    return closure(store, roots)

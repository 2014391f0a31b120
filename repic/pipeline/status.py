"""Status of a store: recent builds, the latest dataset, running processes, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice, pairwise

from repic.pipeline import failures
from repic.pipeline.failures import Failure
from storage import refs
from storage.leases import AnyLease, Lease
from storage.manifest import ArtifactRef, Manifest
from storage.store import Store

MAX_BUILDS = 10
"""Number of recent builds that are listed."""


@dataclass(frozen=True)
class PublishedBuild:
    """A build that moved `dataset@latest`.

    Attributes:
        when: Time of the commit.
        dataset: The dataset version.
        versions: All versions that became latest in the same commit.
        by: user@host.
        flow_run: Prefect's id of the flow run, if any.
    """

    when: datetime
    dataset: str
    versions: tuple[str, ...]
    by: str
    flow_run: str | None


@dataclass(frozen=True)
class Status:
    """Status of one store.

    Attributes:
        builds: Recent published builds, newest first.
        dataset: The latest version; None if nothing was published yet.
        rows: Table -> number of rows in that version.
        quarantined: Reason -> number of files in that version.
        empty: Objective without rows in that version -> reason.
        origins: Objective -> origin of the references -> number of rows in that version.
        running: Who holds a lease now: builds, trainings, evaluations and garbage collectors.
        sources: Source -> photos `found` in it, and those of them in that version (`usable`).
        failed: What failed since the last success of its kind, newest first.
        died: Processes that ended since the last build without a word, as after a kill.
    """

    builds: tuple[PublishedBuild, ...]
    dataset: str | None
    rows: dict[str, int]
    quarantined: dict[str, int]
    empty: dict[str, str]
    running: tuple[str, ...]
    failed: tuple[Failure, ...] = ()
    sources: dict[str, dict[str, int]] = field(default_factory=dict)
    origins: dict[str, dict[str, int]] = field(default_factory=dict)
    died: tuple[str, ...] = ()


def read(store: Store) -> Status:
    """Read the status of a store.

    Raises:
        storage.errors.StoreError: it cannot be read.
    """
    builds = tuple(islice(_published_builds(store), MAX_BUILDS))
    leases = store.leases.find()
    running = tuple(_running(lease) for lease in leases if lease.live)
    ended = (lease for lease in leases if isinstance(lease, Lease) and not lease.live)
    died = tuple(str(lease) for lease in ended if not builds or lease.started > builds[0].when)
    failed = tuple(failures.find(store))
    if store.current().of("dataset").latest is None:
        return Status(builds, None, {}, {}, {}, running, failed, died=died)
    dataset = store.manifest("dataset@latest")
    tables = {table.name: store.manifest(table.ref) for table in dataset.inputs}
    refused = store.read(tables["quarantine"].ref, ["error"])["error"].to_pylist()
    notes = dataset.notes.get("examples", {}).values()
    return Status(
        builds=builds,
        dataset=str(dataset.ref),
        rows={name: manifest.rows for name, manifest in sorted(tables.items())},
        sources=source_counts(dataset, tables["images"]),
        quarantined=dict(Counter(refused).most_common()),
        origins=origin_counts(dataset),
        empty={note["objective"]: note["why"] for note in notes if note.get("why")},
        running=running,
        failed=failed,
        died=died,
    )


def _running(lease: AnyLease) -> str:
    """A lease in words: trainings and evaluations hold the same kind as builds."""
    if not isinstance(lease, Lease) or lease.role == "gc":
        return str(lease)
    return f"a build, training or evaluation: {str(lease).partition(' of ')[2]}"


def origin_counts(dataset: Manifest) -> dict[str, dict[str, int]]:
    """Objective -> origin of the references -> rows of a dataset; without those that have none."""
    notes = dataset.notes.get("examples", {}).values()
    return {note["objective"]: note["origins"] for note in notes if note.get("origins")}


def origin_sentences(origins: Mapping[str, Mapping[str, int]]) -> list[str]:
    """How many rows show crops of the query photo itself, for objectives that have some."""
    return [
        f"{objective}: references of {counts['same_photo']} rows are crops of the query photo "
        f"itself, of {counts.get('two_photos', 0)} of other photos"
        for objective, counts in origins.items()
        if counts.get("same_photo")
    ]


def source_counts(dataset: Manifest, images: Manifest) -> dict[str, dict[str, int]]:
    """Source -> its photos that were found, and those that are in a dataset (`usable`).

    Args:
        images: The images table of the dataset.
    """
    notes = dataset.notes.get("images", {})
    if "sources" in notes:
        return dict(notes["sources"])
    return {
        name: {"found": source.get("files", 0), "usable": images.rows}
        for name, source in images.sources.items()
    }


def _published_builds(store: Store) -> Iterator[PublishedBuild]:
    """Builds from the log of refs, newest first."""
    newest_first = (refs.read(store.files, n) for n in reversed(refs.numbers(store.files)))
    for after, before in pairwise(chain(newest_first, [refs.Snapshot()])):
        latest = after.of("dataset").latest
        if latest is None or latest == before.of("dataset").latest:
            continue
        moved = tuple(
            str(ArtifactRef.exact(name, ref.latest))
            for name, ref in sorted(after.refs.items())
            if ref.latest and ref.latest != before.of(name).latest
        )
        by = f"{after.run.user}@{after.run.host}"
        dataset = str(ArtifactRef.exact("dataset", latest))
        yield PublishedBuild(after.created, dataset, moved, by, after.run.flow_run)

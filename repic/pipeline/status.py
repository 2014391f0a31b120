"""What a store holds at the moment: its last builds, what the latest lacks, who is at work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice, pairwise

from repic.pipeline import failures
from repic.pipeline.failures import Failure
from storage import refs
from storage.manifest import ArtifactRef
from storage.store import Store

BUILDS = 10
"""How many of the last builds are told."""


@dataclass(frozen=True)
class Move:
    """A build that made its dataset the latest.

    Attributes:
        dataset: Its version.
        versions: All versions that became the latest with it.
        by: user@host.
        flow_run: Prefect's id of the run, if it was one.
    """

    when: datetime
    dataset: str
    versions: tuple[str, ...]
    by: str
    flow_run: str | None


@dataclass(frozen=True)
class Status:
    """Of one store.

    Attributes:
        builds: The last ones, the newest first.
        dataset: The latest version; None if nothing was published yet.
        rows: Table -> rows, in that version.
        quarantined: Reason -> files, in that version.
        empty: Objective without a row in it -> why.
        running: Builds and collectors that hold the store now.
        failed: Builds that failed since the last one that did not, the newest first.
    """

    builds: tuple[Move, ...]
    dataset: str | None
    rows: dict[str, int]
    quarantined: dict[str, int]
    empty: dict[str, str]
    running: tuple[str, ...]
    failed: tuple[Failure, ...] = ()


def of(store: Store) -> Status:
    """Look at a store.

    Raises:
        storage.errors.StoreError: it cannot be read.
    """
    builds = tuple(islice(_moves(store), BUILDS))
    running = tuple(str(lease) for lease in store.leases.find() if lease.live)
    failed = tuple(failures.find(store))
    if store.current().of("dataset").latest is None:
        return Status(builds, None, {}, {}, {}, running, failed)
    dataset = store.manifest("dataset@latest")
    tables = {table.name: store.manifest(table.ref) for table in dataset.inputs}
    refused = store.read(tables["quarantine"].ref, ["error"])["error"].to_pylist()
    notes = dataset.notes.get("examples", {}).values()
    return Status(
        builds=builds,
        dataset=str(dataset.ref),
        rows={name: manifest.rows for name, manifest in sorted(tables.items())},
        quarantined=dict(Counter(refused).most_common()),
        empty={note["objective"]: note["why"] for note in notes if note.get("why")},
        running=running,
        failed=failed,
    )


def _moves(store: Store) -> Iterator[Move]:
    """Builds out of the log of all moves, the newest first."""
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
        yield Move(after.created, dataset, moved, by, after.run.flow_run)

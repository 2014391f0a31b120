"""Retrying the quarantine: which files to scan again, and the result for each."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from storage.errors import NotFoundError
from storage.manifest import Manifest
from storage.store import Store


@dataclass(frozen=True)
class RetryResult:
    """Results for the quarantined files, as URIs.

    Attributes:
        dataset: The version after the retry.
        used: Part of that version, as a photo or as a duplicate of one.
        refused: Still in quarantine -> its reason.
        gone: No longer in the source.
    """

    dataset: str
    used: tuple[str, ...]
    refused: dict[str, str]
    gone: tuple[str, ...]


def latest_dataset(store: Store) -> Manifest:
    """The latest dataset.

    Raises:
        NotFoundError: there is no dataset yet.
    """
    if store.current().of("dataset").latest is None:
        raise NotFoundError("Nothing was published yet: repair the files and run `repic build`.")
    return store.manifest("dataset@latest")


def bound_table(store: Store, dataset: Manifest, name: str) -> Manifest:
    """The version of a table that a dataset binds."""
    (ref,) = (table.ref for table in dataset.inputs if table.name == name)
    return store.manifest(ref)


def source_uris(store: Store, dataset: Manifest) -> frozenset[str]:
    """URIs of all photos that a dataset was made from, refused ones included."""
    refused = _table(store, dataset, "quarantine", "uri")["uri"].to_pylist()
    return frozenset((*_used_uris(store, dataset), *refused))


def compare(store: Store, before: Manifest, dataset: Manifest) -> RetryResult:
    """Look up the files of the quarantine version `before` in a later dataset."""
    rows = _table(store, dataset, "quarantine", "uri", "error").to_pylist()
    refused = {row["uri"]: row["error"] for row in rows}
    used = _used_uris(store, dataset)
    uris = sorted(set(store.read(before.ref, ["uri"])["uri"].to_pylist()))
    return RetryResult(
        str(dataset.ref),
        used=tuple(uri for uri in uris if uri in used and uri not in refused),
        refused={uri: refused[uri] for uri in uris if uri in refused},
        gone=tuple(uri for uri in uris if uri not in used and uri not in refused),
    )


def _used_uris(store: Store, dataset: Manifest) -> set[str]:
    photos = _table(store, dataset, "images", "uri", "also_at").to_pylist()
    return {uri for photo in photos for uri in (photo["uri"], *photo["also_at"])}


def _table(store: Store, dataset: Manifest, name: str, *columns: str) -> pa.Table:
    return store.read(bound_table(store, dataset, name).ref, columns)

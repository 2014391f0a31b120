"""The DuckDB catalog of a store, kept up to date, with the views that join pairs and photos."""

from __future__ import annotations

from pathlib import Path

from repic.captions.facts import FORMER_NAMES
from repic.tables import TABLES
from storage.store import Store

PAIR_PHOTOS = """
    SELECT
        p.pair_id, p.kind, p.origin, p.band, p.similarity, p.percentile, p.split,
        a.uri AS anchor_uri, o.uri AS other_uri
    FROM pairs AS p
    JOIN images AS a ON a.image_id = p.anchor_image_id
    JOIN images AS o ON o.image_id = p.other_image_id
"""

VIEWS = {"pair_photos": PAIR_PHOTOS}
"""Views on top of the tables, in `main` and in the schema of each dataset version."""

_PAIR_COLUMNS = ("pair_id", "kind", "origin", "band", "similarity", "percentile", "split")
PAIR_PHOTOS_DOC = {
    **{c.name: c.doc for c in TABLES["pairs"].columns if c.name in _PAIR_COLUMNS},
    "anchor_uri": "Where the anchor's photo is.",
    "other_uri": "Where the other object's photo is.",
}


def open_store(location: str, create: bool = False) -> Store:
    """Open a store that refreshes its `catalog.duckdb` after every commit, untag and gc.

    A remote store has no catalog file, so nothing is refreshed there.

    Raises:
        storage.errors.NotFoundError: the store does not exist, and `create` is false.
        storage.errors.StoreError: it cannot be read or created.
    """
    return Store.open(location, create=create, after_change=_refresh_local)


def refresh(store: Store, path: Path | None = None) -> Path:
    """Write `catalog.duckdb` from the manifests.

    Args:
        path: Where to write it; required for a remote store.

    Raises:
        storage.errors.StoreError: it cannot be written.
    """
    from storage import catalog

    return catalog.catalog(
        store,
        extra_views=VIEWS,
        comments={"pair_photos": PAIR_PHOTOS_DOC},
        renamed={"examples": FORMER_NAMES},
        path=path,
    )


def _refresh_local(store: Store) -> None:
    if store.files.local:
        refresh(store)

"""The DuckDB catalog of a store, with the views that need to know what a pair is."""

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

_SHOWN = ("pair_id", "kind", "origin", "band", "similarity", "percentile", "split")
PAIR_PHOTOS_DOC = {
    **{c.name: c.doc for c in TABLES["pairs"].columns if c.name in _SHOWN},
    "anchor_uri": "Where the anchor's photo is.",
    "other_uri": "Where the other object's photo is.",
}


def refresh(store: Store, path: Path | None = None) -> Path:
    """Make `catalog.duckdb` anew from the manifests.

    Args:
        path: Where to write it; needed if the store is not on a local disk.

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

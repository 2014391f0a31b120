"""The DuckDB catalog of a store, kept up to date, with views on pairs and sources."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from repic.captions.facts import FORMER_NAMES
from repic.tables import TABLES
from storage.errors import NotFoundError, QueryError, StoreError
from storage.store import Store

if TYPE_CHECKING:
    import duckdb

    from storage.catalog import Views

log = logging.getLogger(__name__)

PAIR_PHOTOS = """
    SELECT
        p.pair_id, p.kind, p.origin, p.band, p.similarity, p.percentile, p.split,
        a.uri AS anchor_uri, o.uri AS other_uri
    FROM pairs AS p
    JOIN images AS a ON a.image_id = p.anchor_image_id
    JOIN images AS o ON o.image_id = p.other_image_id
"""

SOURCES = """
    SELECT
        coalesce(nullif(s->>'name', ''), s->>'kind') AS source,
        s->>'kind' AS kind,
        s->>'path' AS path,
        s->>'identity' AS identity,
        coalesce(s->'detector'->>'kind', d.settings->'detector'->>'kind') AS detector,
        s->>'licence' AS licence,
        coalesce((s->>'weight')::DOUBLE, 1) AS weight,
        coalesce((s->'objectives')::VARCHAR[], ['oct', 'vlt', 'ict']) AS objectives,
        (
            SELECT count(*) FROM images AS i
            WHERE i.source = coalesce(nullif(s->>'name', ''), s->>'kind')
        ) AS photos,
        s AS settings
    FROM (
        SELECT
            settings,
            unnest(
                coalesce(settings->'sources', json_array(settings->'source'))::JSON[]
            ) AS s
        FROM main.artifacts WHERE name = 'dataset' AND version = $dataset
    ) AS d
"""

VIEWS = {"pair_photos": PAIR_PHOTOS, "sources": SOURCES}
"""Views on top of the tables, in `main` and in the schema of each dataset version."""

_PAIR_COLUMNS = ("pair_id", "kind", "origin", "band", "similarity", "percentile", "split")
PAIR_PHOTOS_DOC = {
    **{c.name: c.doc for c in TABLES["pairs"].columns if c.name in _PAIR_COLUMNS},
    "anchor_uri": "Where the anchor's photo is.",
    "other_uri": "Where the other object's photo is.",
}

SOURCES_DOC = {
    "source": "Its name, as in the column `source` of images.",
    "kind": "Kind of the source; `repic sources` lists them.",
    "path": "Folder, annotation file or data set.",
    "identity": "Where identities come from.",
    "detector": "Kind of the detector of its photos; annotation: the source's own boxes.",
    "licence": "Licence that the settings give to all of its photos.",
    "weight": "How likely its rows are drawn where rows are limited.",
    "objectives": "Objectives that its photos are used for.",
    "photos": "Photos of it in the version.",
    "settings": "All of its settings, as JSON.",
}


def open_store(location: str, create: bool = False) -> Store:
    """Open a store that refreshes its `catalog.duckdb` after every commit, untag and gc.

    A remote store has no catalog file, so nothing is refreshed there. What was committed stays,
    also if the catalog cannot be written: that is a warning.

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

    return catalog.catalog(store, _views(), path)


def connect(store: Store, query: str = "", *, unsafe: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection to the catalog of the store as it is now.

    Args:
        query: What will be asked; the dataset versions that it names, such as `v3`, are all there.
            Without it, recent ones are.
        unsafe: Let SQL read and write all files of this machine, not only read the store's tables.

    Raises:
        storage.errors.StoreError: the store cannot be read.
    """
    from storage import catalog

    versions = {int(number) for number in re.findall(r"\bv([1-9]\d{0,14})\b", query)}
    return catalog.connect(store, _views(), guarded=not unsafe, versions=versions)


def ask(store: Store, connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation:
    """The lazy result of a query that reads, on a guarded connection of `connect`.

    Raises:
        storage.errors.QueryError: the query is not valid, or changes something.
        storage.errors.NotFoundError: it names a table, and nothing is published yet.
    """
    from storage import sql

    try:
        return sql.ask(connection, query)
    except QueryError as error:
        if "does not exist" in str(error) and not store.current().refs:
            raise NotFoundError(
                f"Nothing is published yet in {store.location}, so that it has no tables: "
                "run a build; `repic status` lists those that failed."
            ) from None
        raise


def _views() -> Views:
    from storage.catalog import Views

    comments = {"pair_photos": PAIR_PHOTOS_DOC, "sources": SOURCES_DOC}
    return Views(VIEWS, comments, {"examples": dict(FORMER_NAMES)})


def _refresh_local(store: Store) -> None:
    if not store.files.local:
        return
    try:
        refresh(store)
    except (StoreError, OSError) as error:
        log.warning(
            "The versions are published, but catalog.duckdb is not up to date: %s "
            "`repic catalog` writes it again.",
            error,
        )

"""The DuckDB catalog: `catalog.duckdb`, a small file of views for any DuckDB client.

It is derived from manifests and refs and replaced atomically. Views name their files by absolute
path, so they work from any folder. The table `snapshot` says what the file shows: a store at one
place and time. `connect` writes a file again that shows another one.

A new file is made from nothing, since the old one may be anybody's: what somebody put into it must
not live on. So that a commit does not cost more with each version, the file in a store has schemas
of recent dataset versions only; `connect` makes those of older ones that it is asked for.
"""

from __future__ import annotations

import errno
import logging
import os
import uuid
from collections.abc import Collection, Mapping, Set
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage import sql, withdrawn
from storage.catalog_tables import SNAPSHOT, describe
from storage.disk import make_folder
from storage.errors import NotFoundError, StoreError, store_errors
from storage.files import TEMPORARY
from storage.hashing import fingerprint
from storage.manifest import ArtifactRef, Manifest
from storage.refs import Snapshot
from storage.sql import escape_glob, identifier, literal
from storage.store import Store

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

DATASET = "dataset"
"""The artifact whose versions become schemas; `main` shows its latest version."""

FILE = "catalog.duckdb"

LAYOUT = 3
"""Rises when the same store gets another catalog."""

RECENT = 20
"""Newest dataset versions with a schema in the file of a store, beside those that refs name. One of
ten tables takes 5 ms at every commit, and any client reads all schemas when it opens the file."""


@dataclass(frozen=True)
class Views:
    """What a program adds to the views of the tables.

    Attributes:
        selects: Name -> SELECT over the tables of one dataset version, by their bare names. The
            view is created in `main` and in the schema of each version that has these tables.
            `$dataset` is the number of the version. `main` has the tables that describe the store.
        comments: View -> column -> comment, in addition to the documentation in manifests.
        renamed: Table -> column -> former name. The views of all versions have both names.
    """

    selects: dict[str, str] = field(default_factory=dict)
    comments: dict[str, dict[str, str]] = field(default_factory=dict)
    renamed: dict[str, dict[str, str]] = field(default_factory=dict)


def catalog(
    store: Store, views: Views | None = None, path: str | os.PathLike[str] | None = None
) -> Path:
    """Write the catalog from the manifests.

    Args:
        path: Where to write it, with schemas of all dataset versions. Default: inside the store,
            with those of recent ones (`RECENT`).

    Raises:
        StoreError: the store is not local and no path is given, or it cannot be written.
    """
    import duckdb

    views = views or Views()
    if path is None and not store.files.local:
        raise StoreError(
            f"A catalog is a local file, and {store.location} is not local: give a path for it."
        )
    target = Path(path if path is not None else store.files.full(FILE)).absolute()
    folder = store.files.full(TEMPORARY) if path is None else str(target.parent)
    lease = nullcontext() if path else store.lease()  # gc would remove the temporary file
    with store_errors(str(target)), lease:
        make_folder(folder)
        while True:
            temporary = Path(folder, f"{uuid.uuid4().hex}.duckdb")
            try:
                with sql.connect(store.files) as connection:
                    shown = _make(store, views, connection, None if path else _recent(store))
                    _save(connection, temporary)
                # What another program wrote into the old file is no part of the new one.
                target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
                os.replace(temporary, target)
            except duckdb.Error as error:
                if os.strerror(errno.ENOSPC) in str(error):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
                raise StoreError(
                    f"{target} was not written ({str(error).strip()}): write the catalog again."
                ) from error
            finally:
                temporary.unlink(missing_ok=True)
                temporary.with_name(f"{temporary.name}.wal").unlink(missing_ok=True)
            # Another process may have moved the refs and replaced the file meanwhile.
            if _shown(store, views, store.current()) == shown:
                return target


def connect(
    store: Store,
    views: Views | None = None,
    *,
    guarded: bool = True,
    versions: Collection[int] = (),
) -> duckdb.DuckDBPyConnection:
    """A connection to the catalog of this store as it is now.

    The file in the store is used if it shows that, or can be written again so that it does;
    otherwise, as on a read-only disk, the catalog is made in memory.

    Args:
        guarded: Only the shards of the store can be read; run SQL through `storage.sql.ask`.
        versions: Dataset versions that need a schema, also if they are not recent. Numbers that
            do not exist are passed over.

    Raises:
        StoreError: the store cannot be read.
    """
    views = views or Views()
    older = set(versions) - _recent(store)
    if older:
        older &= set(store.versions(DATASET))
    # The file may be anybody's: without the guard, its views would have all rights of the user.
    if guarded and not older and (connection := _attached(store, views)):
        return connection
    connection = _in_memory(store, views, older)
    connection.execute("USE catalog.main")
    if guarded:
        sql.restrict(connection, _shard_files(store, connection))
    return connection


def _attached(store: Store, views: Views) -> duckdb.DuckDBPyConnection | None:
    """A guarded connection to the file in the store, written again if it shows another state.

    None if the file cannot show this state, or a shard is a symbolic link: a view in a file that
    somebody edited may still write to the shards, and must not reach other files by that.
    """
    import duckdb

    file = store.files.full(FILE)
    if not store.files.local or (os.path.exists(file) and not os.path.isfile(file)):
        return None  # opening a pipe would wait for its writer
    attach = f"ATTACH {literal(file)} AS catalog (READ_ONLY)"
    paths: list[str] = []
    written = False
    for _ in range(4):  # a state, its shards, and both again if another process writes the file
        connection = sql.connect(store.files)
        with suppress(duckdb.Error):  # none, damaged, of an older layout, or in use by a writer
            connection.execute(attach)
            connection.execute("USE catalog.main")
            # Nothing in the file is evaluated before this: a view may be in the place of a table.
            sql.restrict(connection, paths)
            found = connection.sql(f"SELECT {', '.join(SNAPSHOT.names)} FROM catalog.snapshot")
            if found.to_arrow_table().to_pylist() == [_shown(store, views, store.current())]:
                named = _shard_files(store, connection)
                if set(named) <= set(paths):
                    return connection
                if any(os.path.islink(path) for path in named):
                    return None
                paths = named
                continue
        connection.close()
        if written:
            return None
        try:
            catalog(store, views)
            written = True
        except (StoreError, OSError) as error:
            log.info("the catalog is made in memory: %s", error)
            return None
    return None


def _in_memory(store: Store, views: Views, older: Set[int]) -> duckdb.DuckDBPyConnection:
    for again in (True, True, False):
        connection = sql.connect(store.files)
        try:
            _make(store, views, connection, older | _recent(store))
            return connection
        except NotFoundError:  # gc of another process removed a version after it was listed
            store.forget()
            if not again:
                raise
    raise AssertionError("unreachable")


def _recent(store: Store) -> frozenset[int]:
    """Dataset versions that have a schema in the file of a store."""
    newest = store.versions(DATASET)[-RECENT:]
    return frozenset(newest) | store.current().of(DATASET).versions


def _shown(store: Store, views: Views, refs: Snapshot) -> dict[str, Any]:
    """The row of the table `snapshot` for these refs and the versions that exist now."""
    return {
        "store": store.files.url("").rstrip("/"),
        "number": refs.number,
        "moved": refs.created if refs.number else None,
        "why": refs.why,
        "versions": fingerprint(sorted(store.files.paths("manifests"))),
        "views": fingerprint([LAYOUT, asdict(views)]),
    }


def _shard_files(store: Store, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Paths of all shards; a catalog that was tampered with names no file outside the store."""
    rows = connection.execute("SELECT DISTINCT path FROM catalog.shards").fetchall()
    folders = tuple(store.files.url(f"{folder}/") for folder in ("shards", "parts"))
    return [path for (path,) in rows if path.startswith(folders) and ".." not in path.split("/")]


def _make(
    store: Store,
    views: Views,
    connection: duckdb.DuckDBPyConnection,
    versions: Collection[int] | None,
) -> dict[str, Any]:
    """Make the catalog in memory, attached as `catalog`.

    Args:
        versions: Dataset versions to make schemas of; None for all.

    Returns:
        The row of the table `snapshot`.
    """
    snapshot = store.current()
    shown = _shown(store, views, snapshot)
    manifests = store.manifests()
    connection.execute("ATTACH ':memory:' AS catalog")
    connection.execute("USE catalog.main")
    describe(store, connection, manifests, snapshot, shown)
    latest = snapshot.of(DATASET).latest
    _views(store, connection, "main", _latest(store, snapshot), views, latest)
    for manifest in manifests:
        if manifest.name != DATASET or manifest.kind != "dataset":
            continue
        if versions is None or manifest.version in versions:
            schema = f"v{manifest.version}"
            connection.execute(f"CREATE SCHEMA {schema}")
            connection.execute(f"USE catalog.{schema}")
            _views(store, connection, schema, _bound(store, manifest), views, manifest.version)
    connection.execute("USE memory.main")
    return shown


def _save(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write the catalog in memory into a new file, in one transaction."""
    # The oldest storage version with comments on columns, so that older clients can read it.
    connection.execute(f"ATTACH {literal(str(path))} AS file (STORAGE_VERSION 'v1.0.0')")
    connection.execute("COPY FROM DATABASE catalog TO file")
    connection.execute("DETACH file")


def _latest(store: Store, snapshot: Snapshot) -> list[Manifest]:
    """Tables of `main`: those that the latest dataset binds, and the latest of all others."""
    latest = {}
    for name, ref in snapshot.refs.items():
        if ref.latest and (manifest := _found(store, ArtifactRef.exact(name, ref.latest))):
            latest[name] = manifest
    if DATASET in latest:
        latest |= {manifest.name: manifest for manifest in _bound(store, latest[DATASET])}
    return [manifest for manifest in latest.values() if manifest.kind == "table"]


def _bound(store: Store, dataset: Manifest) -> list[Manifest]:
    inputs = [_found(store, bound.ref) for bound in dataset.inputs]
    return [manifest for manifest in inputs if manifest and manifest.kind == "table"]


def _found(store: Store, ref: ArtifactRef) -> Manifest | None:
    """A version; None if it is lost or withdrawn."""
    try:
        manifest = store.manifest(ref)
        return None if withdrawn.is_marked(store.files, ref) else manifest
    except NotFoundError:
        log.warning("%s is lost: run `repic repair`.", ref)
        return None


def _views(
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    schema: str,
    tables: list[Manifest],
    views: Views,
    dataset: int | None,
) -> None:
    import duckdb

    aliases = {table.name: _aliases(table, views.renamed.get(table.name, {})) for table in tables}
    selects = {table.name: _select(store, table, aliases[table.name]) for table in tables}
    number = str(dataset or "NULL")
    selects |= {name: text.replace("$dataset", number) for name, text in views.selects.items()}
    docs: dict[str, dict[str, str]] = {
        table.name: {column.name: column.doc for column in table.columns if column.doc}
        | {alias: f"The same as {column}." for alias, column in aliases[table.name].items()}
        for table in tables
    }
    for name, select in selects.items():
        try:
            connection.execute(f"CREATE VIEW {identifier(name)} AS {select}")
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            # Old versions, and a store before its first build, lack tables that a view needs.
            log.info("no view %s.%s: %s", schema, name, error)
            continue
        except duckdb.Error as error:  # a shard is gone, cut, or no Parquet file
            log.warning("no view %s.%s, run `repic repair`: %s", schema, name, error)
            continue
        if schema != "main":  # comments take longer than all the rest
            continue
        comments = docs.get(name, {})
        if added := views.comments.get(name):
            columns = connection.table(name).columns
            comments = comments | {column: added[column] for column in columns if column in added}
        _comment(connection, name, comments)


def _aliases(table: Manifest, renamed: Mapping[str, str]) -> dict[str, str]:
    """Names to add to a view -> the columns that they rename: former names, or new ones."""
    columns = {column.name for column in table.columns}
    pairs = [pair for name, former in renamed.items() for pair in ((name, former), (former, name))]
    return {alias: column for alias, column in pairs if column in columns and alias not in columns}


def _select(store: Store, table: Manifest, aliases: Mapping[str, str]) -> str:
    files = ", ".join(literal(escape_glob(store.files.url(shard.path))) for shard in table.shards)
    names = [identifier(column.name) for column in table.columns]
    names += [f"{identifier(column)} AS {identifier(alias)}" for alias, column in aliases.items()]
    return f"SELECT {', '.join(names)} FROM read_parquet([{files}])"


def _comment(connection: duckdb.DuckDBPyConnection, view: str, docs: Mapping[str, str]) -> None:
    comments = [
        f"COMMENT ON COLUMN {identifier(view)}.{identifier(column)} IS {literal(text)}"
        for column, text in docs.items()
    ]
    connection.execute(";".join(comments))

"""A store as `repic.open` gives it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from repic.api.version import Version

if TYPE_CHECKING:
    import duckdb

    from repic.pipeline.forget import Forgetting, Meaning
    from repic.pipeline.remains import Remains
    from storage.store import Store

DEFAULT_STORE = "repic-store"


class DataStore:
    """A store of versions.

    Examples:
        >>> store = repic.open("demo/store")
        >>> store.versions("examples")
        ['examples@v1']
        >>> store.sql("select objective from examples group by all order by all").fetchall()
        [('ict',), ('oct',), ('vlt',)]
    """

    def __init__(self, store: Store) -> None:
        """Use `repic.open`."""
        self._store = store

    @property
    def location(self) -> str:
        """Folder or URL of the store."""
        return self._store.location

    def names(self) -> list[str]:
        """Names of all artifacts, sorted."""
        return self._store.names()

    def versions(self, name: str) -> list[str]:
        """Exact references of all versions of an artifact, oldest first."""
        return [f"{name}@v{number}" for number in self._store.versions(name)]

    def __getitem__(self, ref: str) -> Version:
        """One version: `examples@latest`, `dataset@v3` or `checkpoint@production`.

        Raises:
            storage.errors.NotFoundError: there is no such version; the message lists what exists.
        """
        return Version(self._store, self._store.manifest(ref))

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """A query that reads the tables of the latest dataset, or `v3.pairs` of version 3; lazy.

        Raises:
            storage.errors.QueryError: the query is not valid, or changes something.
            storage.errors.NotFoundError: it names a table, and nothing is published yet.
        """
        from repic.pipeline.catalog import ask, connect

        return ask(self._store, connect(self._store, query), query)

    def diff(self, first: str, second: str, limit: int = 5) -> dict[str, dict[str, Any]]:
        """Table -> rows added, removed and changed, by key; as `repic diff --json`.

        Args:
            limit: Rows of each kind to give; the counts are complete.

        Examples:
            >>> repic.open("demo/store").diff("pairs@v1", "pairs@latest")["pairs"]["added"]
            0

        Raises:
            repic.errors.ConfigError: the versions are of different kinds.
            storage.errors.StoreError: there is no such version.
        """
        from repic.pipeline.differences import differences

        return differences(self._store, first, second, limit)

    def forget(
        self, what: str, meaning: Meaning | None = None, reason: str | None = None
    ) -> Forgetting:
        """Leave a photo, or all photos of an identity, out of every build; as `repic forget`.

        Args:
            what: Address or id of a photo, or an identity.
            meaning: Which of these it is, if it could be several or no version has it.

        Raises:
            repic.errors.ForgetError: it could mean several things, or nothing.
            storage.errors.StoreError: the store cannot be read or written.
        """
        from repic.pipeline.forget import forget

        return forget(self._store, what, meaning, reason)

    def undo_forget(self) -> list[dict[str, Any]]:
        """Take back the last `forget`; as `repic forget --undo`. Its rows of `forgotten`.

        Raises:
            repic.errors.ForgetError: nothing is forgotten.
            storage.errors.StoreError: the store cannot be read or written.
        """
        from repic.pipeline.forget import undo

        return undo(self._store)

    def remains(self, delete: bool = False) -> Remains:
        """What versions still hold of what is to be forgotten; as `repic forget --check`.

        Args:
            delete: Delete them first; as `repic forget --delete-old --apply`.

        Raises:
            repic.errors.ForgetError: the latest dataset holds something: build again first.
            storage.errors.StoreError: the store is in use, or cannot be read or written.
        """
        from repic.pipeline import remains

        left = remains.remains(self._store)
        if not delete:
            return left
        remains.delete(self._store, left)
        return remains.remains(self._store)

    def __repr__(self) -> str:
        return f"repic.open({self.location!r})"


def open(store: str | os.PathLike[str] = DEFAULT_STORE) -> DataStore:
    """Open an existing store.

    Args:
        store: Folder or fsspec URL.

    Raises:
        storage.errors.NotFoundError: the store does not exist.
    """
    return DataStore(opened(store, create=False))


def expanded(store: str | os.PathLike[str]) -> str:
    """Location of a store, `~` expanded."""
    return os.path.expanduser(os.fspath(store))


def opened(store: str | os.PathLike[str], create: bool) -> Store:
    """The store at a location, whose catalog is refreshed after every change."""
    from repic.pipeline.catalog import open_store

    return open_store(expanded(store), create=create)

"""What two versions do not share: rows by key, and columns; datasets table by table."""

from __future__ import annotations

from typing import Any

from repic.errors import ConfigError
from storage import integrity
from storage.store import Store


def differences(store: Store, first: str, second: str, limit: int = 5) -> dict[str, dict[str, Any]]:
    """Table -> how it differs, as `repic diff --json` prints it.

    Args:
        limit: Rows of each kind (added, removed, changed) to give; the counts are complete.

    Raises:
        ConfigError: one is a table and the other a dataset, or anything else.
        storage.errors.StoreError: there is no such version, or its files are damaged.
    """
    return {
        name: _difference(store, *refs, limit)
        for name, refs in _compared(store, first, second).items()
    }


def _compared(store: Store, first: str, second: str) -> dict[str, tuple[str, str]]:
    """Table -> the two versions of it to compare."""
    one, other = store.manifest(first), store.manifest(second)
    if one.kind != other.kind:
        raise ConfigError(
            f"{one.ref} is a {one.kind} and {other.ref} a {other.kind}: give two of a kind"
        )
    if one.kind != "dataset":
        return {one.name: (str(one.ref), str(other.ref))}
    after = {i.name: i.ref for i in other.inputs}
    return {i.name: (str(i.ref), str(after[i.name])) for i in one.inputs if i.name in after}


def _difference(store: Store, first: str, second: str, limit: int) -> dict[str, Any]:
    changes = integrity.diff(store, first, second)
    key = list(store.manifest(first).key)
    kinds = {"added": changes.added, "removed": changes.removed, "changed": changes.changed}
    heads = {
        kind: table.select(key if kind != "changed" else [*key, "columns"]).slice(0, limit)
        for kind, table in kinds.items()
    }
    return {
        "from": first,
        "to": second,
        **{kind: table.num_rows for kind, table in kinds.items()},
        "columns_added": list(changes.columns_added),
        "columns_removed": list(changes.columns_removed),
        "rows": {kind: table.to_pylist() for kind, table in heads.items()},
    }

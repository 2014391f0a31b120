"""The level of folders that are identities stays that of earlier builds of the same photos."""

from __future__ import annotations

from repic import config
from repic.config import Settings, SourceSettings
from repic.errors import ConfigError
from repic.images import uris
from storage.errors import StoreError
from storage.store import Store


def keep_level(settings: Settings, store: Store) -> Settings:
    """The settings with the level of the newest dataset that was made from the same folder.

    So photos that are added later never change what an identity is, and ask no question. A level
    that the settings give goes before it.
    """
    source = settings.source
    if (source.kind, source.identity) != ("folder", "folder") or not source.path:
        return settings
    for version in reversed(store.versions("dataset")):
        earlier = _source_of(store, f"dataset@v{version}")
        if earlier and earlier.identity_from == "folder" and _is_same(source, earlier):
            return settings.model_copy(update={"source": source.with_level(earlier.identity)})
    return settings


def _is_same(source: SourceSettings, earlier: SourceSettings) -> bool:
    return earlier.kind == "folder" and uris.to_uri(source.path or "") == uris.to_uri(
        earlier.path or ""
    )


def _source_of(store: Store, ref: str) -> SourceSettings | None:
    """The source of a dataset; None if its record cannot be read."""
    try:
        return config.from_record(store.manifest(ref).settings).source
    except (StoreError, ConfigError):
        return None

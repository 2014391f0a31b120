"""The level of folders that are identities stays that of earlier builds of the same photos."""

from __future__ import annotations

from repic import config
from repic.config import Settings, SourceSettings
from repic.errors import ConfigError
from repic.images import uris
from storage.errors import StoreError
from storage.store import Store


def keep_level(settings: Settings, store: Store) -> Settings:
    """The settings with, for each folder, the level of the newest dataset that was made from it.

    So photos that are added later never change what an identity is, and ask no question. A level
    that the settings give goes before it.
    """
    sources = tuple(_with_level(source, store) for source in settings.sources)
    return settings.model_copy(update={"sources": sources})


def _with_level(source: SourceSettings, store: Store) -> SourceSettings:
    if (source.kind, source.identity) != ("folder", "folder") or not source.path:
        return source
    for version in reversed(store.versions("dataset")):
        for earlier in _sources_of(store, f"dataset@v{version}"):
            if earlier.identity_from == "folder" and _is_same(source, earlier):
                return source.with_level(earlier.identity)
    return source


def _is_same(source: SourceSettings, earlier: SourceSettings) -> bool:
    return earlier.kind == "folder" and uris.to_uri(source.path or "") == uris.to_uri(
        earlier.path or ""
    )


def _sources_of(store: Store, ref: str) -> tuple[SourceSettings, ...]:
    """The sources of a dataset; none if its record cannot be read."""
    try:
        return config.from_record(store.manifest(ref).settings).sources
    except (StoreError, ConfigError):
        return ()

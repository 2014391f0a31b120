"""Generated photos stand in where nobody names photos, but never in a store of real ones."""

from __future__ import annotations

from repic import config
from repic.config import Settings
from repic.errors import ConfigError, SourceError
from repic.pipeline import failures
from storage.errors import NotFoundError
from storage.manifest import Run
from storage.store import Store


def refuse_in_a_store_of_photos(settings: Settings, location: str) -> None:
    """Raise if a build generates its photos and the latest dataset of its store has others.

    For runs that name neither photos nor a profile: there, a forgotten parameter would make
    generated photos the latest dataset. The failure is recorded in the store.

    Args:
        settings: Of the build.
        location: Folder or URL of the store; it need not exist.

    Raises:
        repic.errors.SourceError: it does.
        storage.errors.StoreError: the store cannot be read.
    """
    if _not_generated(settings):
        return
    try:
        store = Store.open(location)
        latest = store.manifest("dataset@latest")
        real = _not_generated(config.from_record(latest.settings))
    except (NotFoundError, ConfigError):  # nothing built yet, or by another release
        return
    if not real:
        return
    with failures.recorded(store, Run.here()):
        raise SourceError(
            f"nothing says what to build, and {latest.ref} is of {', '.join(real)}: give images or "
            "sources, or profile=sample for generated photos"
        )


def _not_generated(settings: Settings) -> list[str]:
    """The sources of settings whose photos exist, as `KIND:PATH`."""
    real = [source for source in settings.sources if source.kind != "sample"]
    return [f"{source.kind}:{source.path}" if source.path else source.kind for source in real]

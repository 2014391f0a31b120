"""One small build that many tests look at, or copy and build upon."""

from __future__ import annotations

import pytest

from storage.store import Store
from tests.builds import Album, Built, build
from tests.random_models import open_clip_folder


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    """Forty generated photos in a folder; only to be read."""
    folder = tmp_path_factory.mktemp("shared")
    return Album.make(folder / "album", folder / "world", open_clip_folder(folder / "encoder"))


@pytest.fixture(scope="session")
def built(album: Album, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One build of the album."""
    location = tmp_path_factory.mktemp("built") / "store"
    store = Store.open(location, create=True)
    return Built(album, location, build(album.settings(), store))

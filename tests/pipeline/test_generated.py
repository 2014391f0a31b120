"""Generated photos never become the latest dataset of a store of real ones by oversight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from repic import config
from repic.errors import SourceError
from repic.pipeline import failures
from repic.pipeline.generated import refuse_in_a_store_of_photos
from storage.store import Store
from tests.builds import Built


def test_a_store_of_photos_refuses_and_records_it(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    with pytest.raises(SourceError, match=r"dataset@v1 is of coco:.*: give images") as told:
        refuse_in_a_store_of_photos(config.load("sample"), str(tmp_path / "store"))
    (failure,) = failures.find(store)
    assert failure.message == str(told.value)


def test_a_refresh_that_names_nothing_is_refused(
    built: Built, tmp_path: Path, repic_main: Callable[..., tuple[int, str, str]]
) -> None:
    store = built.copy(tmp_path / "store")
    code, _, errors = repic_main("refresh", "run", f"--store={store.location}")
    assert code == 2
    assert "give images or sources" in errors
    assert store.manifest("dataset@latest").version == 1


def test_photos_that_settings_name_are_built(built: Built) -> None:
    named = config.load("photos", **config.chosen_sources("photos", None, None))
    refuse_in_a_store_of_photos(named, str(built.location))


def test_an_absent_or_empty_store_takes_generated_photos(tmp_path: Path) -> None:
    settings = config.load("sample")
    refuse_in_a_store_of_photos(settings, str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()
    Store.open(tmp_path / "empty", create=True)
    refuse_in_a_store_of_photos(settings, str(tmp_path / "empty"))

"""Several users of one store: concurrent builds of different folders."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from repic.pipeline.stages import STAGES
from storage.gc import OLD_REFS, gc
from storage.integrity import verify
from storage.store import Store
from tests import builds
from tests.builds import Album

pytestmark = pytest.mark.slow

PEOPLE, BUILDS, LEAST = 4, 15, 12


def build_on(album: Album, location: Path, person: int) -> list[tuple[int, str]]:
    """Build some photos, again and again other ones: (version, fingerprint)."""
    store = Store.open(location)
    made = []
    for number in range(BUILDS):
        left = album.without(1 + number % LEAST)
        seed = f"splits.salt=person {person}, build {number}"
        outcome = builds.build(left.settings(seed), store)
        assert outcome.published
        made.append((outcome.dataset.version, outcome.dataset.fingerprint))
    return made


def test_four_people_build_at_once(album: Album, tmp_path: Path) -> None:
    """Each version is complete, numbers have no gap, and readers see only complete versions."""
    store = Store.open(tmp_path / "store", create=True)
    folders = [album.copy(tmp_path / f"person {person}") for person in range(PEOPLE)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PEOPLE, mp_context=spawn) as pool:
        waiting = [
            pool.submit(build_on, folder, tmp_path / "store", person)
            for person, folder in enumerate(folders)
        ]
        looks = 0
        while not all(future.done() for future in waiting):
            time.sleep(0.5)
            if store.current().of("dataset").latest is None:
                continue  # nothing is committed, though a first version may have its number
            bound = _bound(store, "dataset@latest")
            current = store.current()
            assert all(current.of(name).latest for name in bound)
            looks += 1
        made = [future.result() for future in waiting]
    assert looks >= 5
    numbers = sorted(number for own in made for number, _ in own)
    assert numbers == store.versions("dataset") == list(range(1, PEOPLE * BUILDS + 1))
    for own in made:
        for number, fingerprint in own:
            assert store.manifest(f"dataset@v{number}").fingerprint == fingerprint
            assert _bound(store, f"dataset@v{number}") == {t for s in STAGES for t in s.writes}
    for name in _bound(store, "dataset@latest"):
        versions = store.versions(name)
        assert versions == list(range(1, len(versions) + 1)), name
    assert verify(store) == []
    assert store.leases.find() == []
    # Builds may move refs more often than the log keeps; nothing else is left behind.
    assert {file.reason for file in gc(store, delete=True).files} <= {OLD_REFS}


def _bound(store: Store, ref: str) -> set[str]:
    """Tables of a dataset version, each of which can be read completely."""
    names = set()
    for made_from in store.manifest(ref).inputs:
        manifest = store.manifest(made_from.ref)
        assert store.read(manifest.ref).num_rows == manifest.rows
        names.add(manifest.name)
    return names

"""What a process knows of numbered files, and that it misses nothing that a listing shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import listing, refs
from storage.errors import StoreError
from storage.files import Files, LocalFiles
from storage.gc import gc
from storage.numbered import WINDOW, Numbered
from storage.store import Store
from tests.storage.stores import build, origin, rows


class Folder:
    """Names in memory, which counts listings."""

    def __init__(self, *numbers: int) -> None:
        self.files = {f"v{number:06d}.json" for number in numbers}
        self.listings = 0

    def names(self) -> set[str]:
        self.listings += 1
        return set(self.files)

    def present(self, names: list[str]) -> set[str]:
        return self.files & set(names)

    def numbered(self, **options: Any) -> Numbered:
        return Numbered(self.names, self.present, "v", **options)


def test_what_others_add_is_seen_without_a_listing() -> None:
    folder = Folder(1, 2)
    known = folder.numbered()
    assert known.look() == {1, 2}
    for number in (3, 4, 6, 5, 13, 12):
        folder.files.add(f"v{number:06d}.json")
        assert number in known.look()
    assert folder.listings == 1
    assert known.newest() == 13


def test_it_lists_again_if_the_newest_is_gone_or_many_are_new() -> None:
    folder = Folder(1, 2)
    known = folder.numbered()
    known.look()
    folder.files.remove("v000002.json")
    assert known.look() == {1}
    folder.files |= Folder(*range(2, 3000)).files
    assert known.look() == set(range(1, 3000))
    assert folder.listings == 3
    known.forget()
    folder.files.remove("v000007.json")
    assert 7 not in known.look()


def test_a_few_are_listed_where_that_costs_less() -> None:
    folder = Folder(1, 2)
    known = folder.numbered(few=2)
    known.look(), known.look()
    folder.files.add("v000003.json")
    known.look()
    assert folder.listings == 3
    known.look()
    assert folder.listings == 3


@given(st.lists(st.sampled_from(["create", "skip", "gc", "look"]), max_size=40))
def test_the_newest_is_always_that_of_a_listing(steps: list[str]) -> None:
    """Also if numbers in a row are left out, as after a damaged file was set aside."""
    folder = Folder(1)
    known, skipped = folder.numbered(), 0
    known.look()
    top = 1
    for step in steps:
        if step == "create" or (step == "skip" and skipped < WINDOW - 2):
            top += 1
            skipped = skipped + 1 if step == "skip" else 0
            folder.files |= {f"v{top:06d}.json"} if step == "create" else set()
        elif step == "gc" and len(folder.files) > 1:
            folder.files.remove(min(folder.files))
        elif step == "look":
            assert known.newest() == max(listing.numbers(folder.files, "v"))
    assert known.newest() == max(listing.numbers(folder.files, "v"))
    assert set(listing.numbers(folder.files, "v")) <= known.look()


def test_a_store_lists_no_folder_of_versions_twice(store: Store, monkeypatch) -> None:
    store.publish("images", rows(0, 2), origin("f0"), key=["id"])
    store.commit({"images": 1})
    other = Store.open(store.location)
    other.publish("images", rows(0, 3), origin("f1"), key=["id"])
    other.commit({"images": 2})
    listed: list[str] = []
    names = LocalFiles.names
    monkeypatch.setattr(
        LocalFiles, "names", lambda self, folder: listed.append(folder) or names(self, folder)
    )
    assert store.publish("images", rows(0, 3), origin("f1"), key=["id"]).version == 2
    manifest = store.publish("images", rows(0, 4), origin("f2"), key=["id"])
    store.commit({"images": manifest.version})
    assert manifest.version == 3
    assert other.resolve("images@latest").version == 3
    assert not {"manifests/images", refs.FOLDER} & set(listed)


def test_a_version_that_gc_removed_is_not_found(store: Store) -> None:
    for number in (1, 2):
        store.publish("images", rows(0, number), origin(f"f{number}"), key=["id"])
    found = store.find("images", "f1")
    assert found
    store.files.remove("manifests/images/v000001.json")
    assert store.find("images", found.fingerprint) is None
    again = store.publish("images", rows(0, 1), origin("f1"), key=["id"])
    assert again.version == 3


def test_a_version_beyond_many_that_gc_removed_is_found(store: Store) -> None:
    store.publish("images", rows(0, 1), origin("f1"), key=["id"])
    store.tag("images@v1", "kept")
    assert store.find("images", "f1")
    other = Store.open(store.location)
    for number in range(2, WINDOW + 4):
        newest = other.publish("images", rows(0, number), origin(f"f{number}"), key=["id"])
        other.commit({"images": newest.version})
    gc(other, delete=True, keep_versions=1)
    assert other.versions("images") == [1, newest.version]
    again = store.publish("images", rows(0, newest.rows), origin(newest.fingerprint), key=["id"])
    assert again.ref == newest.ref


def test_refs_are_found_after_damaged_ones_were_set_aside(store: Store) -> None:
    build(store, 1)
    build(store, 2)
    other = Store.open(store.location)
    assert other.current().number == 2
    store.files.remove(refs.path(2))
    assert other.current().number == 1
    build(other, 3)
    assert store.current().number == other.current().number == 2


@pytest.mark.parametrize("few", [0, 1000])
def test_an_object_store_is_asked_for_single_files(memory: Store, monkeypatch, few: int) -> None:
    monkeypatch.setattr(Files, "listed_at_once", few)
    other = Store.open(memory.location)
    for number in range(1, 2 * WINDOW):
        writer = memory if number % 2 else other
        assert writer.publish("t", rows(0, number), origin(f"f{number}"), key=["id"])
        writer.commit({"t": number})
    assert memory.current() == other.current()
    assert memory.versions("t") == list(range(1, 2 * WINDOW))


def test_what_is_no_file_is_an_error(store: Store) -> None:
    build(store, 1)
    Path(store.location, refs.path(2)).symlink_to("nowhere")
    with pytest.raises(StoreError, match="is a link to a file or folder that is not there"):
        store.current()

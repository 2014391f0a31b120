"""Repair gives back refs, lost manifests and lost shards from what the store still holds."""

from __future__ import annotations

import os
import shutil

import pytest

from storage import documents, integrity, refs, repair
from storage.errors import StoreError
from storage.gc import gc
from storage.integrity import verify
from storage.store import Store
from tests.storage.stores import build, origin, rows


def state(store: Store) -> dict[str, int | None]:
    return {name: ref.latest for name, ref in store.current().refs.items()}


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\0", None])
def test_refs_are_restored_from_the_snapshot_before_and_the_manifests(store, damage):
    build(store, 1)
    store.tag("images@v1", "good")
    build(store, 2)
    path = refs.path(store.current().number)
    before = store.current().refs
    if damage is None:
        shutil.rmtree(store.files.full("refs"))
    else:
        store.files.replace(path, damage)
    assert verify(store) != []
    done = repair.set_aside(store)
    assert "from the manifests; tags are" in done[0]
    assert state(store) == {name: ref.latest for name, ref in before.items()}
    assert ("good" in store.current().of("images").tags) == (damage is not None)
    assert verify(store) == []
    if damage is not None:
        assert store.files.read(f"damaged/{path}") == damage
    build(store, 3)
    assert store.resolve("dataset").version == 3


def test_what_was_published_but_not_committed_does_not_become_latest(store):
    build(store, 1)
    store.publish("images", rows(0, 3), origin("uncommitted"), key=["id"])
    store.files.replace("refs/000001.json", b"")
    repair.set_aside(store)
    assert state(store) == {"images": 1, "pairs": 1, "dataset": 1}


def test_repair_of_a_whole_store_changes_nothing(store):
    build(store, 1)
    store.tag("images", "good")
    before = {path: store.files.read(path) for path in store.files.find("")}
    assert repair.set_aside(store) == repair.mend(store) == []
    assert {path: store.files.read(path) for path in store.files.find("")} == before


def test_a_lost_version_comes_back_from_an_equal_one_under_its_number(store):
    build(store, 1)
    build(store, 2)
    wanted = store.manifest("pairs@v2")
    store.files.replace("manifests/pairs/v000002.json", b"junk")
    repair.set_aside(store)
    again = store.publish(
        "pairs",
        store.read("pairs@v1"),
        origin("other"),
        key=["id"],
    )
    assert again.version == 3, "others name version 2"
    store.publish(
        "pairs",
        rows(0, 10, value=2),
        origin("pairs2", inputs=wanted.inputs, models={"encoder": "e1"}),
        key=["id"],
    )
    assert repair.mend(store) == ["pairs@v2 is back: pairs@v4 was made from the same"]
    assert store.manifest("pairs@v2").content == wanted.content
    assert verify(store) == []
    assert store.resolve("pairs@latest").version == 2


def test_shards_of_an_equal_version_replace_lost_ones(store):
    build(store, 1)
    lost = store.manifest("images@v1")
    store.files.remove(lost.shards[0].path)
    parts = [
        store.write_part("images", rows(i, i + 5), recipe="r1", covers=[str(i)]) for i in (0, 5)
    ]
    twin = store.publish("images", parts, origin("images1"), key=["id"])
    assert (twin.version, twin.content) == (2, lost.content)
    assert repair.mend(store) == ["images@v1 has the shards of images@v2, which has the same rows"]
    assert store.read("images@v1").sort_by("id").equals(rows(0, 10))
    assert verify(store) == []


def test_refs_to_what_is_lost_for_good_move_on(store):
    build(store, 1)
    build(store, 2)
    store.tag("dataset@v2", "production")
    store.files.remove("manifests/dataset/v000002.json")
    [tag, latest] = repair.mend(store)
    assert tag.startswith("dataset@production named dataset@v2, which is lost: tag again")
    assert latest.startswith("dataset@latest named v2, which is lost, and is v1 now")
    assert verify(store) == []
    assert build(store, 2)["dataset"] == 2, "nothing names the lost version any more"


def test_stray_files_move_away(store):
    build(store, 1)
    for path in ("manifests/x.json", "refs/notes.txt"):
        store.files.replace(path, b"hello")
    assert len(repair.set_aside(store)) == 2
    assert verify(store) == []
    assert store.files.read("damaged/refs/notes.txt") == b"hello"


def test_each_file_that_moves_away_is_kept(store):
    build(store, 1)
    for content in (b"first", b"second", b"third"):
        store.files.replace("refs/notes.txt", content)
        [done] = repair.set_aside(store)
    assert "damaged/refs/notes.txt.3" in done
    kept = {path: store.files.read(path) for path in store.files.find("damaged")}
    assert kept == {
        "damaged/refs/notes.txt": b"first",
        "damaged/refs/notes.txt.2": b"second",
        "damaged/refs/notes.txt.3": b"third",
    }


def test_a_newer_document_is_left_alone(store):
    build(store, 1)
    path = "manifests/images/v000001.json"
    data = store.files.read(path).replace(b'"format_version": 2', b'"format_version": 3')
    store.files.replace(path, data)
    for call in (repair.set_aside, lambda store: store.read("images")):
        with pytest.raises(StoreError, match="pip install --upgrade repic"):
            call(Store.open(store.location))
    assert store.files.read(path) == data


def test_a_damaged_file_is_written_again_in_its_place(store):
    table = store.publish("images", rows(0, 5), origin("f"), key=["id"])
    path = table.shards[0].path
    whole = store.files.read(path)
    broken = bytes([*whole[:9], whole[9] ^ 1, *whole[10:]])
    store.files.replace(path, broken)
    with pytest.raises(StoreError, match=r"its bytes have changed.*repic repair"):
        store.read("images@v1")
    assert store.find("images", "f") is None
    assert store.publish("images", rows(0, 5), origin("f"), key=["id"]).version == 1
    assert store.files.read(path) == whole
    assert documents.read(store.files, "manifests/images/v000001.json", type(table)) == table


@pytest.mark.parametrize("inside", [False, True])
def test_a_folder_in_the_place_of_a_file_moves_away(store: Store, inside: bool) -> None:
    build(store, 1)
    build(store, 2, photos=11)
    number = store.current().number
    places = ["manifests/pairs/v000002.json", f"refs/{number + 1:06d}.json"]
    places += [store.manifest("images@v1").shards[0].path, f"files/{'0' * 64}.html"]
    for place in places:
        store.files.remove(place)
    for place in places:
        os.makedirs(store.files.full(place))
        if inside:
            store.files.replace(f"{place}/mine.txt", b"mine")
    problems = {problem.path for problem in integrity.verify(store)}
    assert problems >= set(places)
    done = repair.set_aside(store)
    assert all(any(sentence.startswith(place) for sentence in done) for place in places)
    assert not any(store.files.fs.exists(store.files.full(place)) for place in places)
    assert store.files.fs.exists(store.files.full(f"damaged/{places[0]}/mine.txt")) == inside
    store.tag("dataset@v1", "first")
    assert build(store, 3)["dataset"] == 3


def test_after_a_repair_of_a_copy_without_manifests_gc_deletes_nothing(store: Store) -> None:
    build(store, 1)
    build(store, 2, photos=11)
    manifests = {path: store.files.read(path) for path in store.files.find("manifests")}
    shutil.rmtree(store.files.full("manifests"))
    repair.set_aside(store)
    repair.mend(store)
    assert {p.artifact for p in integrity.verify(store)} == {"refs"}
    with pytest.raises(StoreError, match="is not there, although refs name it"):
        gc(store, delete=True)
    for path, data in manifests.items():  # the rest of the copy
        store.files.replace(path, data)
    store.forget()
    assert verify(store) == []
    assert store.resolve("dataset@latest").version == 2


@pytest.mark.parametrize("path", ["manifests/pairs/v000001.json", "refs/000001.json", "store.json"])
def test_a_pipe_is_an_error_and_nobody_waits_for_it(store: Store, path: str) -> None:
    build(store, 1)
    store.files.remove(path)
    os.mkfifo(store.files.full(path))
    with pytest.raises(StoreError, match="is not a regular file"):
        gc(Store.open(store.location), delete=True)


@pytest.mark.timeout(300)
def test_a_pipe_in_the_place_of_an_empty_file_is_found_and_replaced(store: Store) -> None:
    files = {"empty.txt": b""}
    made = store.publish_files("policy", files, origin("c"), kind="checkpoint")
    path = made.files[0].path
    store.files.remove(path)
    os.mkfifo(store.files.full(path))
    assert [(p.path, p.message) for p in verify(store)] == [
        (path, "it cannot be read: it is not a regular file")
    ]
    assert store.publish_files("policy", files, origin("c"), kind="checkpoint").version == 1
    assert verify(store) == []

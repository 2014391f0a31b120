"""What name@v3, name@latest and name@tag mean."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import gc
from storage.errors import MovedError, NotFoundError, StoreError
from storage.manifest import ArtifactRef
from storage.store import Store
from tests.storage.stores import build, origin, rows


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True), st.integers(1, 10**9))
def test_references_round_trip(name, version):
    exact = ArtifactRef.exact(name, version)
    assert ArtifactRef.parse(str(exact)) == exact
    assert exact.version == version
    assert ArtifactRef.parse(name) == ArtifactRef.parse(f"{name}@latest")
    assert ArtifactRef.parse(f"{name}@best").version is None


@pytest.mark.parametrize("text", ["", "@v1", "a@", "a@v 1", "A@v1", "a@b@c", "a/b@v1"])
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(StoreError, match="is not an artifact: write name@v3"):
        ArtifactRef.parse(text)


def test_one_commit_moves_all_names_at_once(store):
    build(store, 1)
    build(store, 2)
    before, after = store.history()[1].refs, store.history()[0].refs
    assert {name: ref.latest for name, ref in before.items()} == dict.fromkeys(before, 1)
    assert {name: ref.latest for name, ref in after.items()} == {
        "images": 2,
        "pairs": 2,
        "dataset": 2,
    }
    assert store.history()[0].why == "commit images@v2 pairs@v2 dataset@v2"
    assert [snapshot.number for snapshot in store.history()] == [2, 1]


def test_a_commit_that_changes_nothing_logs_nothing(store):
    versions = build(store, 1)
    store.commit(versions)
    assert len(store.history()) == 1


def test_only_what_exists_can_be_committed(store):
    build(store, 1)
    with pytest.raises(NotFoundError, match=r"no images@v7: choose one of v1, latest\."):
        store.commit({"pairs": 1, "images": 7})
    assert len(store.history()) == 1


def test_a_commit_moves_latest_and_a_tag_in_one_step(store):
    build(store, 1)
    build(store, 2)
    store.commit({"images": 1}, tags={"pairs@production": 2})
    assert store.resolve("images@latest").version == 1
    assert store.resolve("pairs@production").version == 2
    assert store.history()[0].why == "commit images@v1, tag pairs@v2 production"
    with pytest.raises(NotFoundError, match="no pairs@v9"):
        store.commit({"images": 2}, tags={"pairs@production": 9})
    assert store.resolve("images@latest").version == 1
    with pytest.raises(StoreError, match="cannot be a tag"):
        store.commit({}, tags={"pairs@latest": 1})


def test_a_commit_on_refs_that_moved_meanwhile_moves_nothing(store):
    build(store, 1)
    build(store, 2)
    store.tag("pairs@v1", "production")
    seen = store.current()
    store.tag("images@v1", "other")  # does not matter to what follows
    store.commit({"images": 1}, tags={"pairs@production": 2}, since=seen)
    assert store.resolve("pairs@production").version == 2
    with pytest.raises(MovedError, match="pairs@production was moved meanwhile"):
        store.commit({"dataset": 1}, tags={"pairs@production": 1}, since=seen)
    assert store.resolve("dataset@latest").version == 2


def test_latest_means_something_while_another_process_moves_it(store, monkeypatch):
    build(store, 1)
    other = Store.open(store.location)
    numbered = store.files.numbered

    def look_and_then_another_commits(folder: str, prefix: str = "") -> Any:
        found = numbered(folder, prefix).newest()
        build(other, other.versions("dataset")[-1] + 1)
        return SimpleNamespace(newest=lambda: found)

    monkeypatch.setattr(store.files, "numbered", look_and_then_another_commits)
    for _ in range(3):
        before = other.resolve("dataset@latest").version or 0
        found = store.resolve("dataset@latest").version or 0
        after = other.resolve("dataset@latest").version or 0
        assert before <= found <= after
        assert before < after, "another did commit in between"


def test_tags_move_and_go(store):
    build(store, 1)
    build(store, 2)
    store.tag("dataset@v1", "production")
    assert store.resolve("dataset@production").version == 1
    store.tag("dataset", "production")
    assert store.resolve("dataset@production").version == 2
    assert store.resolve("dataset@latest").version == 2
    store.untag("dataset", "production")
    with pytest.raises(NotFoundError, match="no dataset@production: choose one of v1, v2, latest"):
        store.untag("dataset", "production")
    for bad in ("latest", "v7"):
        with pytest.raises(StoreError, match="already means a version"):
            store.tag("dataset", bad)
    with pytest.raises(StoreError, match="is not an artifact"):
        store.tag("dataset", "two words")


def test_what_does_not_exist_is_answered_with_what_does(store):
    with pytest.raises(NotFoundError, match="no images: the store is empty"):
        store.resolve("images")
    build(store, 1)
    with pytest.raises(NotFoundError, match=r"no image\. Did you mean images\? The store has data"):
        store.resolve("image@v1")
    for i in range(2, 14):
        store.publish("images", rows(0, i), origin(f"x{i}"), key=["id"])
    with pytest.raises(NotFoundError, match=r"one of v4, .*, v13, latest \(and 3 older ones\)"):
        store.resolve("images@v99")
    assert store.names() == ["dataset", "images", "pairs"]
    assert store.versions("images") == list(range(1, 14))


def test_many_threads_lose_no_move(memory):
    for i in range(8):
        memory.publish(f"t{i}", rows(0, 1), origin("f"), key=["id"])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: memory.commit({f"t{i}": 1}), range(8)))
    assert {name: ref.latest for name, ref in memory.current().refs.items()} == {
        f"t{i}": 1 for i in range(8)
    }
    assert [snapshot.number for snapshot in memory.history()] == list(range(8, 0, -1))


CHANGES: list[int] = []


def count_refs(store: Store) -> None:
    CHANGES.append(store.current().number)


def test_a_hook_runs_after_every_change_also_in_a_pickled_store(tmp_path):
    CHANGES.clear()
    store = Store.open(tmp_path / "store", create=True, after_change=count_refs)
    store.publish("images", rows(0, 3), origin("f"), key=["id"])
    assert not CHANGES  # nothing is visible yet
    store.commit({"images": 1})
    pickle.loads(pickle.dumps(store)).tag("images@v1", "good")
    store.untag("images", "good")
    gc.gc(store)
    assert CHANGES == [1, 2, 3]
    gc.gc(store, delete=True)
    assert CHANGES == [1, 2, 3, 3]

"""gc deletes only unreachable files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from storage import gc as gc_module
from storage import jobs
from storage.errors import NotFoundError, StoreError
from storage.gc import gc
from storage.integrity import verify
from storage.store import Store
from tests.storage.stores import build, origin, rows


def reasons(garbage: gc_module.Garbage) -> list[str]:
    return sorted(file.reason for file in garbage.files)


def test_a_clean_store_has_no_garbage(store, memory):
    for each in (store, memory):
        build(each, 1)
        assert gc(each, delete=True).files == ()


def test_garbage_is_shown_first_and_removed_on_demand(store):
    build(store, 1)
    whole = store.files.find("")
    store.write_part("objects", rows(0, 5), recipe="r", covers=["a"])
    store.files.replace("shards/images/abc.parquet", b"1234")
    store.files.replace("files/abc.bin", b"12")
    store.files.replace("tmp/abc", b"1")
    shown = gc(store)
    assert reasons(shown) == [
        "file that no version names",
        "part that no version names",
        "shard that no version names",
        "temporary file",
    ]
    assert shown.bytes == 7 + sum(f.bytes for f in shown.files if f.path.startswith("parts"))
    assert not shown.deleted
    assert len(store.files.find("")) == len(whole) + 4
    assert gc(store, delete=True).deleted
    assert store.files.find("") == whole


def test_versions_stay_unless_asked(store):
    for number in range(1, 6):
        build(store, number, photos=number + 3)
    assert gc(store).files == ()
    with pytest.raises(StoreError, match="must be 1 or more"):
        gc(store, keep_versions=0)


def test_old_versions_go_but_never_what_a_ref_reaches(store):
    for number in range(1, 6):
        build(store, number, photos=number + 3)
    store.tag("dataset@v2", "production")
    before = {version: store.read(f"pairs@v{version}") for version in (2, 5)}
    removed = gc(store, delete=True, keep_versions=1)
    assert reasons(removed).count("version that no ref reaches") == 9
    assert store.versions("images") == store.versions("dataset") == [2, 5]
    assert {version: store.read(f"pairs@v{version}") for version in (2, 5)} == before
    assert verify(store) == []
    assert build(store, 6)["dataset"] == 6


def test_what_gc_of_another_process_removed_is_not_committed(store):
    build(store, 1)
    build(store, 2, photos=11)
    assert store.manifest("images@v1").rows == 10
    gc(Store.open(store.location), delete=True, keep_versions=1)
    with pytest.raises(NotFoundError, match="There is no images@v1"):
        store.commit({"images": 1})
    assert store.resolve("images@latest").version == 2


def test_an_old_input_of_a_new_version_stays(store):
    images = store.publish("images", rows(0, 3), origin("old"), key=["id"])
    store.publish("images", rows(0, 4), origin("new"), key=["id"])
    store.publish("pairs", rows(0, 3), origin("p", inputs=(images.as_input(),)), key=["id"])
    assert gc(store, delete=True, keep_versions=1).files == ()


def killed_gc(store, monkeypatch, stop: int, **options) -> None:
    """Run gc and kill it after that many deletions."""
    remove, calls = store.files.remove, []

    def limited(path: str) -> None:
        calls.append(path)
        if len(calls) > stop:
            raise KeyboardInterrupt
        remove(path)

    with monkeypatch.context() as patch:
        patch.setattr(store.files, "remove", limited)
        with pytest.raises(KeyboardInterrupt):
            gc(store, delete=True, **options)


@pytest.mark.parametrize("stop", range(1, 15, 3))
def test_gc_that_is_killed_leaves_a_whole_store(store, monkeypatch, stop):
    for number in range(1, 5):
        build(store, number, photos=number + 3)
    killed_gc(store, monkeypatch, stop, keep_versions=1)
    assert verify(store) == []


def test_the_log_of_refs_is_pruned(store, monkeypatch):
    for number in range(1, 6):
        build(store, number)
    monkeypatch.setattr(gc_module, "KEEP_SNAPSHOTS", 2)
    assert reasons(gc(store, delete=True)) == ["old entry of the refs log"] * 3
    assert [snapshot.number for snapshot in store.history()] == [5, 4]
    assert store.resolve("images@latest").version == 5


def begun(store: Store, days: float) -> jobs.UnfinishedJob:
    """A job of that many days ago, with a part and a file that it needs, beside garbage."""
    part = store.write_part("objects", rows(0, 5), recipe="mine", covers=["a"])
    store.write_part("objects", rows(0, 6), recipe="mine2", covers=["a"])
    job = jobs.UnfinishedJob(
        id="abc",
        what="a long job",
        keeps=(part.shard.path.rpartition("/")[0],),
        touched=datetime.now(UTC) - timedelta(days=days),
    )
    jobs.keep(store.files, job)
    store.files.replace("unfinished/abc/deep/job.json", b"12345")
    return job


def test_what_an_unfinished_job_keeps_stays(store, memory):
    for each in (store, memory):
        build(each, 1)
        job = begun(each, days=29)
        garbage = gc(each, delete=True)
        assert reasons(garbage) == ["part that no version names"]
        assert [(u.job, u.forgotten) for u in garbage.unfinished] == [(job, False)]
        kept = each.files.find("unfinished") | each.files.find("parts")
        assert garbage.unfinished[0].bytes == sum(kept.values())
        assert len(kept) == 3
        jobs.end(each.files, job.id)
        assert each.files.find("unfinished") == {}
        assert reasons(gc(each)) == ["part that no version names"]


@pytest.mark.parametrize("stop", range(4))
def test_a_job_that_nobody_goes_on_with_goes_card_first(store, monkeypatch, stop):
    build(store, 1)
    whole = store.files.find("")
    job = begun(store, days=31)
    garbage = gc(store)
    assert garbage.unfinished[0].forgotten
    assert garbage.files[0].path == job.card
    assert len(garbage.files) == 4
    killed_gc(store, monkeypatch, stop)
    assert jobs.is_kept(store.files, job.id) == (stop == 0)
    for path in store.files.find("leases"):  # its holder is dead
        store.files.remove(path)
    gc(store, delete=True)
    assert store.files.find("") == whole


def test_a_job_is_given_up_earlier_on_demand(store):
    begun(store, days=2)
    assert not gc(store, forget=timedelta(days=3)).unfinished[0].forgotten
    assert gc(store, forget=timedelta(days=1)).unfinished[0].forgotten
    with pytest.raises(StoreError, match="needs a hash"):
        jobs.folder("../escape")

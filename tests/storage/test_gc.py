"""gc deletes only unreachable files, and nothing if it could not read everything."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from storage import documents, files, jobs
from storage import gc as gc_module
from storage.errors import NotFoundError, StoreError
from storage.gc import gc
from storage.integrity import verify
from storage.leases import Lease
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
    store.commit({"images": 2, "pairs": 1})
    assert gc(store, delete=True, keep_versions=1).files == ()


def killed_gc(store: Store, monkeypatch, stop: int, **options) -> bool:
    """Run gc and kill it before it deletes more than `stop` files. Returns: whether it was."""
    deleted: list[str] = []

    def limited(real: Callable[[str], None]) -> Callable[[str], None]:
        def delete(path: str) -> None:
            if len(deleted) >= stop:
                raise KeyboardInterrupt
            real(path)
            deleted.append(path)

        return delete

    with monkeypatch.context() as patch:
        for name in ("remove", "discard"):
            patch.setattr(store.files, name, limited(getattr(store.files, name)))
        try:
            gc(store, delete=True, **options)
        except KeyboardInterrupt:
            return True
    return False


def copied(store: Store, folder: Path) -> Store:
    shutil.copytree(store.location, folder, symlinks=True)
    return Store.open(folder)


def test_gc_that_is_killed_at_any_deletion_leaves_a_whole_store(store, monkeypatch, tmp_path):
    for number in range(1, 5):
        build(store, number, photos=number + 3)
    store.write_part("objects", rows(0, 5), recipe="r", covers=["a"])
    for stop in range(100):
        copy = copied(store, tmp_path / str(stop))
        killed = killed_gc(copy, monkeypatch, stop, keep_versions=1)
        assert verify(copy) == []
        assert copy.read("pairs") == store.read("pairs")
        for path in copy.files.find("leases"):  # its holder is dead
            copy.files.remove(path)
        gc(copy, delete=True, keep_versions=1)
        assert copy.files.find("manifests").keys() < store.files.find("manifests").keys()
        assert gc(copy, keep_versions=1).files == ()
        if not killed:
            break
    assert stop > 15


def test_a_version_is_durably_gone_before_its_inputs_and_files_go(store, monkeypatch):
    """A power failure may undo a deletion that was not fsynced, and keep a later one."""
    for number in range(1, 4):
        build(store, number, photos=number + 3)
    unsynced: set[str] = set()
    remove, sync_folder, manifests = store.files.fs.rm_file, files.sync_folder, []

    def removed(path: str) -> None:
        if "/leases/" not in path:
            assert not unsynced
        remove(path)
        if "/manifests/" in path:
            manifests.append(path)
            unsynced.add(os.path.dirname(path))

    def synced(path: str) -> None:
        sync_folder(path)
        unsynced.discard(path)

    monkeypatch.setattr(store.files.fs, "rm_file", removed)
    monkeypatch.setattr(files, "sync_folder", synced)
    assert gc(store, delete=True, keep_versions=1).deleted
    assert len(manifests) == 6


@pytest.fixture
def precious(store: Store) -> Store:
    """A store with versions, a tag, a job, a lease of another machine, and garbage in tmp."""
    for number in (1, 2):
        build(store, number, photos=number + 3)
    store.tag("dataset@v1", "production")
    begun(store, days=1)
    store.files.replace("tmp/garbage", b"1")
    return store


def faulty_scandir(fail: Callable[[], None]) -> Callable[[str], Any]:
    """os.scandir that calls `fail` when a folder is opened and before each entry."""
    real = os.scandir

    @contextmanager
    def scandir(path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        fail()

        def entries() -> Iterator[os.DirEntry[str]]:
            with real(path) as listed:
                for entry in listed:
                    fail()
                    yield entry

        yield entries()

    return scandir


def survives(precious: Store, folder: Path, monkeypatch, patch: Callable[..., None]) -> int:
    """Run gc with a fault at each point in turn, until it has none; nothing may be lost.

    Args:
        patch: Gets a monkeypatch and `fail`, to be called at each point with what to raise or
            return there; it returns whether this is the point.

    Returns:
        Number of points at which gc refused.
    """
    refused = 0
    needed = precious.files.find("").keys() - {file.path for file in gc(precious).files}
    copy = copied(precious, folder)
    for point in range(1000):
        copy.files.replace("tmp/garbage", b"1")
        passed = -1

        def here(point: int = point) -> bool:
            nonlocal passed
            passed += 1
            return passed == point

        with monkeypatch.context() as context:
            patch(context, here)
            try:
                gc(copy, delete=True, keep_versions=1)
            except StoreError:
                refused += 1
        assert needed <= copy.files.find("").keys(), point
        for lease in copy.files.find("leases"):
            copy.files.remove(lease)
        if passed < point:
            break
    assert verify(copy) == []
    return refused


def test_one_failed_listing_deletes_nothing_that_is_needed(precious, tmp_path, monkeypatch):
    codes = itertools.cycle([errno.EIO, errno.EACCES, errno.ESTALE])

    def patch(context: pytest.MonkeyPatch, here: Callable[[], bool]) -> None:
        def fail() -> None:
            if here():
                raise OSError(next(codes), "no")

        context.setattr(os, "scandir", faulty_scandir(fail))

    assert survives(precious, tmp_path / "copy", monkeypatch, patch) > 100


@pytest.mark.parametrize("error", [OSError(errno.EIO, "no"), FileNotFoundError(2, "no")])
@pytest.mark.parametrize("name", ["read", "open"])
def test_one_failed_reading_deletes_nothing_that_is_needed(
    precious, tmp_path, monkeypatch, error, name
):
    real = getattr(files.Files, name)

    def patch(context: pytest.MonkeyPatch, here: Callable[[], bool]) -> None:
        def read(self: files.Files, path: str) -> Any:
            if here():
                raise error
            return real(self, path)

        context.setattr(files.Files, name, read)

    survives(precious, tmp_path / "copy", monkeypatch, patch)


@pytest.mark.parametrize("kept", [slice(0), slice(-1), slice(1, None)])
def test_one_incomplete_listing_deletes_nothing_that_is_needed(
    precious, tmp_path, monkeypatch, kept
):
    find = files.LocalFiles.find

    def patch(context: pytest.MonkeyPatch, here: Callable[[], bool]) -> None:
        def shortened(self: files.LocalFiles, folder: str) -> dict[str, int]:
            whole = find(self, folder)
            return dict(sorted(whole.items())[kept]) if here() else whole

        context.setattr(files.LocalFiles, "find", shortened)

    assert survives(precious, tmp_path / "copy", monkeypatch, patch) > 5


def test_one_incomplete_listing_does_not_hide_a_build(precious, monkeypatch):
    find, before = files.LocalFiles.find, precious.files.find("")
    lease = Lease.new("build").model_copy(update={"boot": "another"})
    for point in range(100):
        precious.files.replace(lease.path, lease.model_dump_json().encode())
        calls = []

        def shortened(
            self: files.LocalFiles, folder: str, point: int = point, calls: list[str] = calls
        ) -> dict[str, int]:
            calls.append(folder)
            return {} if len(calls) == point else find(self, folder)

        with monkeypatch.context() as context, suppress(StoreError):
            context.setattr(files.LocalFiles, "find", shortened)
            assert not gc(precious, delete=True, keep_versions=1).deleted
        assert precious.files.find("").keys() == before.keys() | {lease.path}
        if len(calls) < point:
            break
    assert point > 10


@pytest.mark.parametrize("keep", [None, 1])
@pytest.mark.parametrize(
    "lost",
    [
        "manifests",
        "refs",
        "manifests/images",
        "manifests/pairs/v000002.json",
        "manifests/images/v000001.json",
    ],
)
def test_an_incomplete_copy_loses_nothing_more(precious, tmp_path, lost, keep):
    copy = copied(precious, tmp_path / "copy")
    path = Path(copy.files.full(lost))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = copy.files.find("")
    for delete in (False, True):
        with pytest.raises(StoreError, match=r"is not there, although|has files but no refs"):
            gc(copy, delete=delete, keep_versions=keep)
    assert copy.files.find("") == before


@pytest.mark.parametrize("folder", ["manifests", "manifests/pairs", "refs", "parts", "unfinished"])
def test_a_file_in_place_of_a_folder_is_an_error(precious, folder):
    shutil.rmtree(precious.files.full(folder))
    Path(precious.files.full(folder)).write_text("a file")
    before = precious.files.find("").keys()
    with pytest.raises(StoreError):
        gc(precious, delete=True, keep_versions=1)
    assert precious.files.find("").keys() == before


@pytest.mark.parametrize("folder", ["tmp", "shards", "manifests", "leases", "manifests/pairs"])
def test_gc_neither_deletes_through_a_link_nor_takes_it_for_nothing(precious, tmp_path, folder):
    elsewhere = tmp_path / "elsewhere"
    inside = Path(precious.files.full(folder))
    inside.mkdir(exist_ok=True)
    inside.rename(elsewhere)
    (elsewhere / "mine.txt").write_text("precious")
    inside.symlink_to(elsewhere)
    with pytest.raises(StoreError, match="is a link"):
        gc(precious, delete=True)
    assert (elsewhere / "mine.txt").exists()
    shutil.rmtree(elsewhere)  # as when its disk is not mounted
    with pytest.raises(StoreError, match="is a link"):
        gc(precious, delete=True)
    assert precious.files.find("shards" if folder != "shards" else "parts")


def test_a_link_to_a_missing_file_is_an_error(precious):
    manifest = Path(precious.files.full("manifests/pairs/v000001.json"))
    manifest.unlink()
    manifest.symlink_to("/not/mounted")
    with pytest.raises(StoreError, match=r"a link to a file or folder that is not there: mount"):
        gc(precious, delete=True)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]"])
@pytest.mark.parametrize(
    "path", ["manifests/images/v000001.json", "refs/000003.json", "unfinished/abc/job.json"]
)
def test_what_cannot_be_read_is_named(precious, path, content):
    assert path in precious.files.find("")
    precious.files.replace(path, content)
    before = precious.files.find("")
    with pytest.raises(StoreError):
        gc(precious, delete=True, keep_versions=1)
    assert precious.files.find("") == before


@pytest.mark.parametrize("keeps", ["/etc", "..", "parts/../..", "", "parts//x"])
def test_a_job_keeps_folders_of_its_store_only(precious, keeps):
    with pytest.raises(ValueError, match="no relative path"):
        jobs.UnfinishedJob(id="abc", what="a job", keeps=(keeps,))


def test_a_disk_that_goes_away_takes_nothing_with_it(precious, monkeypatch):
    """Its mount point is an empty folder."""
    inside, away = Path(precious.location), Path(precious.location + " away")

    def without_disk(real: Callable[[files.LocalFiles, str], Any]) -> Callable[..., Any]:
        def listed(self: files.LocalFiles, folder: str) -> Any:
            if not folder.startswith("manifests"):
                return real(self, folder)
            inside.rename(away)
            inside.mkdir()
            try:
                return real(self, folder)
            finally:
                inside.rmdir()
                away.rename(inside)

        return listed

    before = precious.files.find("")
    with monkeypatch.context() as patch:
        for name in ("find", "names", "paths"):
            patch.setattr(files.LocalFiles, name, without_disk(getattr(files.LocalFiles, name)))
        with pytest.raises(StoreError):
            gc(precious, delete=True)
    assert precious.files.find("") == before


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


def test_parts_that_the_last_build_used_stay_for_a_time(store, memory):
    for each in (store, memory):
        build(each, 1)
        first, second, third = (
            each.write_part("objects", rows(0, 5 + i), recipe="r", covers=["a"]) for i in range(3)
        )
        each.keep_parts("objects", "r", "selection", [first])
        each.keep_parts("objects", "r", "selection", [second])  # in place of the first
        each.keep_parts("objects", "r", "search", [third])
        garbage = gc(each, delete=True)
        assert [file.path for file in garbage.files] == [first.shard.path]
        assert gc(each, delete=True).files == ()
        assert reasons(gc(each, delete=True, forget=timedelta(0))) == [
            *["kept parts that no build used"] * 2,
            *["part that no version names"] * 2,
        ]
        assert each.files.find("kept") == {}


NO_ZONE = b'{"paths": [], "used": "2026-01-01T00:00:00"}'


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]", b'{"paths": ["../x"]}', NO_ZONE])
def test_a_card_of_kept_parts_that_cannot_be_read_is_named(store, content):
    build(store, 1)
    part = store.write_part("objects", rows(0, 5), recipe="r", covers=["a"])
    store.keep_parts("objects", "r", "selection", [part])
    (card,) = store.files.find("kept")
    store.files.replace(card, content)
    with pytest.raises(StoreError, match=f"{card} cannot be read.*delete it"):
        gc(store, delete=True)
    assert store.files.exists(part.shard.path)


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
def test_a_job_that_nobody_resumes_goes_card_first(store, monkeypatch, stop):
    build(store, 1)
    whole = store.files.find("")
    job = begun(store, days=31)
    garbage = gc(store)
    assert garbage.unfinished[0].forgotten
    assert garbage.files[0].path == job.card
    assert len(garbage.files) == 4
    assert killed_gc(store, monkeypatch, stop)
    assert jobs.is_kept(store.files, job.id) == (stop == 0)
    for path in store.files.find("leases"):  # its holder is dead
        store.files.remove(path)
    gc(store, delete=True)
    assert store.files.find("") == whole


def test_a_job_is_given_up_earlier_on_demand(store):
    build(store, 1)
    begun(store, days=2)
    assert not gc(store, forget=timedelta(days=3)).unfinished[0].forgotten
    assert gc(store, forget=timedelta(days=1)).unfinished[0].forgotten
    with pytest.raises(StoreError, match="needs a hash"):
        jobs.folder("../escape")


def test_a_version_that_lost_its_inputs_can_be_removed(precious):
    precious.untag("dataset", "production")
    precious.files.remove("manifests/images/v000001.json")
    with pytest.raises(StoreError, match="is not there, although it is an input of"):
        gc(precious, delete=True)
    assert gc(precious, delete=True, keep_versions=1).deleted
    assert precious.versions("dataset") == precious.versions("pairs") == [2]
    assert verify(precious) == []


def test_a_mixture_of_two_stores_loses_nothing_more(precious):
    """As after rsync of another copy, in which other versions got the same numbers."""
    other = precious.manifest("images@v1").model_copy(update={"version": 2})
    precious.files.replace("manifests/images/v000002.json", documents.encode(other))
    before = precious.files.find("")
    for keep in (None, 1):
        with pytest.raises(StoreError, match=r"images@v2 is not the version that .* was made from"):
            gc(precious, delete=True, keep_versions=keep)
    assert precious.files.find("") == before

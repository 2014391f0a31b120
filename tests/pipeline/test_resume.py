"""An interrupted build resumes; a build whose photos change reports what it used."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from repic.pipeline import execution, kept_results
from repic.pipeline.build import BuildCallbacks, ShardResult, StagePlan, StageShard, shard_size
from repic.pipeline.execution import build as run_build
from repic.pipeline.scan import scan
from repic.pipeline.stages.base import Stage
from storage import files, integrity
from storage.gc import gc
from storage.store import Store
from tests.builds import PHOTOS, Album, Built, build, computed_by, contents, keyed

Main = Callable[..., tuple[int, str, str]]


class CrashError(Exception):
    pass


@pytest.mark.parametrize("stage", ["probes", "detections", "embeddings"])
@pytest.mark.parametrize("error", [CrashError, KeyboardInterrupt])
def test_a_crash_costs_one_shard(
    stage: str,
    error: type[BaseException],
    built: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = built.album.settings("runtime.shard_rows=8")
    store = Store.open(tmp_path / "store", create=True)
    run_shard, done = execution.run_shard, 0

    def crashing(shard: StageShard) -> ShardResult:
        nonlocal done
        if shard.stage == stage and done == 3:
            raise error
        done += shard.stage == stage
        return run_shard(shard)

    monkeypatch.setattr(execution, "run_shard", crashing)
    with pytest.raises(error):
        build(settings, store)
    assert not store.versions("dataset")
    assert not store.current().refs  # nothing is visible before everything is
    monkeypatch.setattr(execution, "run_shard", run_shard)

    resumed = build(settings, store)
    assert next(iter(resumed.processed)) == stage  # finished work is not repeated
    assert resumed.processed[stage] == built.outcome.processed[stage] - 3 * 8
    assert contents(resumed) == contents(built.outcome)
    assert integrity.verify(store) == []
    assert not store.files.find("tmp")
    assert not store.files.find("leases")


class Sizes(BuildCallbacks):
    """Inputs of each shard of a stage, in the order in which the shards were complete."""

    def __init__(self) -> None:
        self.of: dict[str, list[int]] = {}

    def stage(self, stage: Stage, plan: StagePlan) -> None:
        self.of[stage.name] = []

    def shard(self, stage: Stage, shard: StageShard) -> None:
        self.of[stage.name].append(shard.inputs.num_rows)


def test_a_small_collection_shows_progress_after_each_batch(album: Album, tmp_path: Path) -> None:
    settings, seen = album.settings(), Sizes()
    store = Store.open(tmp_path / "store", create=True)
    outcome = run_build(settings, store, scan(settings), seen)
    assert seen.of["probes"] == seen.of["detections"] == [16, 16, 8]
    assert len(outcome.tables["detections"].shards) == 3


@pytest.mark.parametrize("inputs", [0, 1, 16, 17, 158, 256, 257, 400, 3840, 3841, 10**6])
@pytest.mark.parametrize("batch", [1, 16, 300])
def test_shards_are_whole_batches_and_few_enough_to_stay_as_they_are(
    inputs: int, batch: int, album: Album
) -> None:
    settings = album.settings(f"runtime.batch_size={batch}")
    size, most = shard_size(settings, inputs), settings.runtime.shard_rows
    assert 1 <= size <= most
    assert size == most or size % batch == 0
    assert size == most or -(-inputs // size) <= kept_results.MAX_SMALL_PARTS


def test_a_crash_between_publishing_and_binding(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "publish_dataset", _raise(CrashError()))
        with pytest.raises(CrashError):
            build(built.album.settings(), store)
    assert not store.current().refs
    with monkeypatch.context() as patched:
        patched.setattr(Store, "commit", _raise(CrashError()))
        with pytest.raises(CrashError):
            build(built.album.settings(), store)
    assert store.versions("dataset") == [1]
    assert not store.current().refs
    outcome = build(built.album.settings(), store)
    assert outcome.processed == {}
    assert contents(outcome) == contents(built.outcome)
    assert store.manifest("dataset@latest").version == 1


def _raise(error: BaseException) -> Callable[..., None]:
    def fail(*args: object, **options: object) -> None:
        raise error

    return fail


@pytest.mark.slow
@pytest.mark.parametrize(
    ("writes", "number"),
    [(0, errno.ENOSPC), (0, errno.EACCES), *((n, errno.ENOSPC) for n in (1, 4, 9, 15, 22))],
)
def test_a_full_disk_is_one_sentence_and_a_later_run_goes_on(
    writes: int,
    number: int,
    built: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    repic_main: Main,
) -> None:
    sync, left = files.sync, writes

    def failing(handle: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(number, "injected")
        sync(handle)  # type: ignore[arg-type]

    store = tmp_path / "store"
    arguments = [*built.album.arguments, f"--store={store}", "--set=runtime.shard_rows=16"]
    with monkeypatch.context() as patched:
        patched.setattr(files, "sync", failing)
        code, out, err = repic_main(*arguments)
    assert code == 2
    assert out == ""
    sentence = err.strip().splitlines()[-1]
    assert sentence.startswith("repic: No ")
    assert "free some" in sentence or "choose another store" in sentence
    assert "Traceback" not in err

    code, out, err = repic_main(*arguments)
    assert code == 0, err
    opened = Store.open(store)
    made = opened.manifest("dataset@latest")
    assert made.version == 1
    assert made.content == built.outcome.dataset.content
    assert integrity.verify(opened) == []
    assert gc(opened, delete=True).deleted
    assert not opened.files.find("tmp")
    assert not opened.files.find("leases")


class Meddler(BuildCallbacks):
    """Changes the photos when a stage begins."""

    def __init__(self, stage: str, meddle: Callable[[], None]) -> None:
        self._stage = stage
        self._todo: Iterator[Callable[[], None]] = iter([meddle])

    def stage(self, stage: Stage, plan: StagePlan) -> None:
        if stage.name == self._stage and (meddle := next(self._todo, None)):
            meddle()


@pytest.fixture
def mine(album: Album, tmp_path: Path) -> Album:
    return album.copy(tmp_path / "album")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "said"), [("probes", "images"), ("embeddings", "embeddings")])
@pytest.mark.parametrize("how", ["deleted", "replaced", "emptied"])
def test_a_photo_that_changes_under_the_build(
    stage: str, said: str, how: str, mine: Album, store: Store, tmp_path: Path
) -> None:
    victim = mine.file(5)
    safe = shutil.copy(victim, tmp_path / "safe.jpg")

    def meddle() -> None:
        match how:
            case "deleted":
                victim.unlink()
            case "replaced":
                shutil.copy(mine.file(6), victim)
            case _:
                victim.write_bytes(b"")

    settings = mine.settings()
    outcome = run_build(settings, store, scan(settings), Meddler(stage, meddle))
    refused = store.read("quarantine@latest").to_pylist()
    assert [row["stage"] for row in refused] == [said]
    assert refused[0]["uri"].endswith(victim.name)
    assert refused[0]["error"] in {"missing", "changed", "empty"}
    assert refused[0]["message"]
    images = store.read("images@latest")
    assert images.num_rows == PHOTOS - 1
    assert outcome.files == PHOTOS
    assert refused[0]["image_id"] not in images["image_id"].to_pylist()
    for name in ("detections", "objects", "embeddings", "groups"):
        ids = set(store.read(f"{name}@latest")["image_id"].to_pylist())
        assert ids <= set(images["image_id"].to_pylist()), name
    assert integrity.verify(store) == []

    shutil.copy(safe, victim)
    whole = build(settings, store)
    assert whole.published
    assert whole.tables["quarantine"].rows == 0
    assert whole.tables["images"].rows == PHOTOS
    assert computed_by(whole).keys() <= {"probes", "detections", "embeddings"}
    assert max(computed_by(whole).values()) <= len(mine.entries[5]["objects"])
    fresh = build(settings, Store.open(tmp_path / "fresh", create=True))
    assert contents(whole) == contents(fresh)


def test_a_photo_that_is_in_two_places_survives_the_loss_of_one(
    mine: Album, store: Store, tmp_path: Path
) -> None:
    entry = mine.entries[5]
    copy = {**entry, "file": "zz-copy.jpg"}
    shutil.copy(mine.file(5), mine.folder / "photos" / copy["file"])
    mine = replace(mine, entries=(*mine.entries, copy)).written()
    settings = mine.settings()
    outcome = run_build(
        settings, store, scan(settings), Meddler("embeddings", lambda: mine.file(5).unlink())
    )
    images = keyed(store.read("images@latest"), "images")
    refused = store.read("quarantine@latest").to_pylist()
    assert len(images) == PHOTOS
    assert [row["error"] for row in refused] == ["missing"]
    (image,) = (row for row in images.values() if row["uri"].endswith("zz-copy.jpg"))
    assert image["also_at"] == []
    assert image["image_id"] == refused[0]["image_id"]
    accounted = len(images) + sum(len(row["also_at"]) for row in images.values()) + len(refused)
    assert accounted == outcome.files == PHOTOS + 1


def test_a_folder_that_vanishes_under_the_build_publishes_nothing(
    mine: Album, built: Built, tmp_path: Path
) -> None:
    from repic.errors import SourceError

    store = Store.open(tmp_path / "store", create=True)
    settings = mine.settings()
    scanned = scan(settings)
    with pytest.raises(SourceError, match=r"none of 40 photos can be used \(40 missing\)"):
        run_build(
            settings,
            store,
            scanned,
            Meddler("probes", lambda: shutil.rmtree(mine.folder / "photos")),
        )
    assert not store.current().refs

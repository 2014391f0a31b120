"""Shards for workers of a cluster: their inputs go through the store."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from repic import config
from repic.errors import ClusterError
from repic.pipeline import handover
from repic.pipeline.build import Build, ShardResult, StageShard
from repic.pipeline.scan import Reject, Scan, scan
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import RowStage
from storage.store import Store
from tests.builds import Album, build, contents


@pytest.fixture(scope="module")
def scanned(album: Album) -> Scan:
    return scan(album.settings())


@pytest.fixture
def shard(album: Album, scanned: Scan, tmp_path: Path) -> StageShard:
    this = Build(album.settings(), Store.open(tmp_path / "store", create=True), scanned)
    return this.plan(STAGES[0]).shards[0]


def files(store: Store) -> list[str]:
    return store.files.paths("tmp")


def test_inputs_go_through_the_store_and_not_in_the_message(
    shard: StageShard, tmp_path: Path
) -> None:
    store = Store.open(tmp_path / "store")
    part = store.write_part("images", pa.table({"id": [1]}), recipe="r", covers=["a"])
    large = replace(shard, inputs=shard.inputs.take([0] * 100_000), earlier=(part,))
    handed = handover.hand_over(store, large)
    message = pickle.dumps(handed)
    assert len(message) < 10_000 < large.inputs.nbytes
    read = pickle.loads(message).read()
    assert read.inputs.equals(large.inputs, check_metadata=True)
    assert (read.stage, read.store) == (shard.stage, store.location)
    assert read.earlier == (part,), "its rows are kept there as here"
    handover.take_back(store, handed.path)
    assert files(store) == []


def test_a_worker_that_does_not_see_the_store_says_so(shard: StageShard, tmp_path: Path) -> None:
    handed = handover.hand_over(Store.open(tmp_path / "store"), shard)
    shutil.move(tmp_path / "store", tmp_path / "elsewhere")
    with pytest.raises(ClusterError, match=r"does not see the store .*/store: mount"):
        handed.read()
    Store.open(tmp_path / "store", create=True)  # another store at the same path
    with pytest.raises(ClusterError, match=r"does not see the store .*/store: mount"):
        handed.read()


def test_settings_mean_the_same_in_another_folder(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(album.folder)
    encoder = "local-dir:" + os.path.relpath(album.encoder.removeprefix("local-dir:"))
    settings = album.settings(
        f"encoder.pretrained={encoder}", "runtime.device=cuda:3", "runtime.precision=float32"
    )
    carried = handover.portable(settings)
    recipes = {
        stage.name: [stage.row_fingerprint(part) for part in stage.parts_of(settings)]
        for stage in STAGES
        if isinstance(stage, RowStage)
    }
    monkeypatch.chdir(tmp_path)
    assert carried.encoder.pretrained == album.encoder
    assert carried.runtime.device == "cuda"
    for stage in STAGES:
        if isinstance(stage, RowStage):
            parts = stage.parts_of(carried)
            assert [stage.row_fingerprint(part) for part in parts] == recipes[stage.name]


def test_auto_is_what_it_means_where_the_build_runs(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repic.models.devices._best_device", lambda: "cuda")
    carried = handover.portable(album.settings())
    monkeypatch.undo()
    assert (carried.runtime.device, carried.runtime.precision) == ("cuda", "bfloat16")


def test_a_shard_computed_from_the_store_is_the_same(
    album: Album, scanned: Scan, tmp_path: Path
) -> None:
    from repic.pipeline import execution

    def compute(stage, plan):  # type: ignore[no-untyped-def]
        for one in plan.shards:
            handed = pickle.loads(pickle.dumps(handover.hand_over(store, one)))
            yield execution.run_shard(handed.read())
            handover.take_back(store, handed.path)

    store = Store.open(tmp_path / "store", create=True)
    outcome = execution.execute(Build(album.settings(), store, scanned), compute, Build.publish)
    plain = build(album.settings(), Store.open(tmp_path / "plain", create=True))
    assert contents(outcome) == contents(plain)
    assert files(store) == []


def test_a_photo_that_only_a_worker_misses_does_not_leave_the_build(
    album: Album, scanned: Scan, tmp_path: Path
) -> None:
    photo = scanned.photos[0]
    gone = Reject(photo.photo.uri, "images", "missing", "no such file", photo.image_id)
    with pytest.raises(ClusterError, match=r"cannot read file://.*missing.*mount"):
        handover.check_gone(ShardResult(0, 1, (gone,)))
    lost = replace(gone, uri=(tmp_path / "lost.jpg").as_uri())
    handover.check_gone(ShardResult(0, 1, (lost,)))  # it is gone here, too
    with pytest.raises(ClusterError, match="mount"):
        handover.check_gone(ShardResult(0, 2, (lost, gone)))
    elsewhere = replace(gone, uri="s3://bucket/photo.jpg")
    handover.check_gone(ShardResult(0, 1, (elsewhere,)))


def test_settings_are_small() -> None:
    assert len(pickle.dumps(config.load("photos"))) < 20_000

"""Examples in a store: kept by photo, the same in any order, and cut last."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from repic import config, objectives
from repic.config import Settings
from repic.pipeline import kept_results
from repic.pipeline.build import Build
from repic.pipeline.execution import run_shard
from repic.pipeline.scan import Scan
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import ShardOutput
from repic.pipeline.stages.examples import ExampleStage
from repic.tables import TABLES
from storage.errors import DamagedError
from storage.gc import gc
from storage.hashing import fingerprint
from storage.manifest import Manifest, Origin
from storage.store import Store
from tests.objectives.tables import Build as World
from tests.objectives.tables import labelled_build, labels_of
from tests.objectives.test_inputs import described

STAGE = next(stage for stage in STAGES if isinstance(stage, ExampleStage))

CUTS = {
    "all": (),
    "total": ("examples.total=40",),
    "shares": ("examples.shares={oct: 1, ict: 1}", "examples.vlt.max_lazy_iou=1"),
    "crops": ("examples.same_photo.use=always", "examples.total=90"),
}


def settings(folder: Path, *changes: str) -> Settings:
    return config.load(
        "photos",
        (f"source.path={folder}", "runtime.shard_rows=4", *changes),
        source={"kind": "folder"},
    )


def built(store: Store, world: World, chosen: Settings, name: str) -> tuple[Manifest, int]:
    """The examples of a world, published in a store; and of how many photos they were written."""
    build = Build(chosen, store, Scan((), ()))
    build.__dict__["fingerprints"] = {t: fingerprint([t, name]) for t in (*STAGE.reads, "examples")}
    for table, rows in tables(world).items():
        origin = Origin(fingerprint=build.fingerprints[table])
        store.publish(table, rows, origin, key=TABLES[table].key)
    plan = build.plan(STAGE)
    for shard in plan.shards:
        assert shard.inputs.num_rows <= 4
        run_shard(shard)
    (version,) = build.publish(STAGE)
    return version, plan.missing


def tables(world: World) -> dict[str, pa.Table]:
    objects = world.objects.to_pylist()
    labels = labels_of(objects)
    groups = [
        {
            "object_id": row["object_id"],
            "image_id": row["image_id"],
            "group": row["identity"],
            "origin": "label",
            "split": world.splits[row["image_id"]],
        }
        for row in objects
    ]
    named = [
        {
            "object_id": row["object_id"],
            "image_id": row["image_id"],
            "label": labels[row["object_id"]],
        }
        for row in objects
    ]
    return {
        "images": world.images,
        "objects": world.objects,
        "groups": TABLES["groups"].table(groups),
        "labels": TABLES["labels"].table(named),
        "pairs": world.pairs,
    }


def less(world: World, count: int) -> World:
    """The same world, of which some photos are in no split."""
    for image_id in list(world.splits)[:count]:
        world.splits[image_id] = None
    return world


@pytest.mark.parametrize("cut", CUTS)
def test_an_increment_gives_what_a_build_from_nothing_gives(tmp_path: Path, cut: str) -> None:
    chosen = settings(tmp_path, *CUTS[cut])
    one, other = (Store.open(tmp_path / name, create=True) for name in "ab")
    before, written = built(one, less(described(), 3), chosen, "less")
    assert written == 21
    after, rewritten = built(one, described(), chosen, "more")
    fresh, everything = built(other, described(), chosen, "more")
    assert everything == 24
    assert 3 <= rewritten <= 24
    assert (after.content, after.notes) == (fresh.content, fresh.notes)
    assert after.content != before.content
    world = described()
    rows, summaries = objectives.build(*world.tables, chosen.examples)
    assert after.notes == {one.objective: one.as_json() for one in summaries}
    assert one.read(after.ref).sort_by("example_id").to_pylist() == (
        TABLES["examples"].table(rows).to_pylist()
    )


def with_similarity(world: World, place: int, similarity: float) -> tuple[World, str, set[str]]:
    """The world with another similarity of one pair; the pair; and the photos of both ends."""
    rows = world.pairs.to_pylist()
    rows[place]["similarity"] = similarity
    world.pairs = TABLES["pairs"].table(rows)
    ends = {rows[place][f"{end}_image_id"] for end in ("anchor", "other")}
    return world, rows[place]["pair_id"], ends


def test_photos_that_nothing_new_is_linked_to_are_not_looked_at(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    chosen = settings(tmp_path, "examples.vlt.max_lazy_iou=1")
    world = labelled_build(8, 3)
    built(store, world, chosen, "one")
    assert built(store, world, chosen, "same rows of another build")[1] == 0
    world, _, ends = with_similarity(world, 0, 0.123)
    assert built(store, world, chosen, "reviewed")[1] == len(ends)


def test_rows_that_are_made_from_the_same_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    chosen = settings(tmp_path, "examples.vlt.max_lazy_iou=1")
    world = labelled_build(8, 3)
    built(store, world, chosen, "one")
    calls: list[objectives.Written] = []
    write = objectives.write

    def recorded(*args: Any) -> objectives.Written:
        calls.append(write(*args))
        return calls[-1]

    monkeypatch.setattr(objectives, "write", recorded)
    for number, place in enumerate((0, 7, 0)):  # also after parts were merged
        calls.clear()
        world, pair, ends = with_similarity(world, place, 0.2 + number / 10)
        version, _ = built(store, world, chosen, f"change {number}")
        rows = [r for r in store.read(version.ref).to_pylist() if r["image_id"] in ends]
        made = {row["example_id"] for call in calls for row in call.rows}
        assert made == {row["example_id"] for row in rows if pair in row["pair_ids"]} != set()
        assert sum(len(call.kept) for call in calls) >= len(rows) - len(made) > 0
    other = Store.open(tmp_path / "other", create=True)
    assert built(other, world, chosen, "from nothing")[0].content == version.content


def test_a_part_whose_note_tells_of_other_rows_is_damaged(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    chosen = settings(tmp_path)
    part = kept_results.write(
        store, STAGE, chosen, ["a-1"], ShardOutput(TABLES["examples"].table([]))
    )
    assert kept_results.rows_about(store, STAGE, part, ["a"])[1] is None
    one_too_many = replace(part, note=json.dumps({"rejects": [], "made_from": "AAAAAAAAAAA="}))
    with pytest.raises(DamagedError, match="1 rows, not 0"):
        kept_results.rows_about(store, STAGE, one_too_many, ["a"])


def test_what_is_not_selected_is_not_published_and_all_is_referenced(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    whole, _ = built(store, described(), settings(tmp_path), "whole")
    assert all(shard.path.startswith("parts/") for shard in whole.shards)
    cut, _ = built(store, described(), settings(tmp_path, "examples.total=10"), "cut")
    assert cut.rows == 10
    assert all(shard.path.startswith("shards/") for shard in cut.shards)


def test_another_cut_writes_no_photo_anew(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    whole, _ = built(store, described(), settings(tmp_path), "whole")
    for change in ("examples.total=10", "examples.shares={oct: 1, ict: 1}"):
        chosen = settings(tmp_path, change)
        assert STAGE.fingerprint(chosen) != STAGE.fingerprint(settings(tmp_path))
        version, written = built(store, described(), chosen, change)
        assert written == 0
        other = Store.open(tmp_path / change, create=True)
        assert version.content == built(other, described(), chosen, change)[0].content
        assert version.content != whole.content


def test_gc_leaves_the_rows_that_a_cut_leaves_out(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    cut, _ = built(store, described(), settings(tmp_path, "examples.total=10"), "cut")
    store.commit({"examples": cut.version})
    assert gc(store, delete=True).files == ()
    whole, written = built(store, described(), settings(tmp_path), "whole")
    assert (written, whole.rows > cut.rows) == (0, True)


def test_weights_of_sources_are_no_part_of_what_rows_are_kept_by(tmp_path: Path) -> None:
    def weighted(weight: float) -> Settings:
        names = {"a": 1.0, "b": weight}
        return config.load(
            "photos",
            sources=[
                {"name": name, "kind": "folder", "path": str(tmp_path), "weight": share}
                for name, share in names.items()
            ],
        )

    assert STAGE.fingerprint(weighted(1)) != STAGE.fingerprint(weighted(3))
    assert STAGE.row_fingerprint(weighted(1)) == STAGE.row_fingerprint(weighted(3))

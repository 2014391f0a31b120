"""A second build computes only what is missing, and equals a build from scratch."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from repic.config import Settings
from repic.objectives import objective_of
from repic.pipeline import kept_results
from repic.pipeline.execution import build as run_build
from repic.pipeline.scan import scan
from repic.pipeline.stages import STAGES
from repic.pipeline.stages.base import Stage
from storage import integrity
from storage.store import Store
from tests.builds import (
    MORE,
    PHOTOS,
    Album,
    Built,
    build,
    computed_by,
    contents,
    keyed,
    repic,
    tables,
)
from tests.random_models import open_clip_folder
from tests.timing import cpu_of_children, is_quick


def objects_in(store: Store) -> int:
    return store.manifest("objects@latest").rows


def test_again_publishes_nothing_and_imports_no_model(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    before = {name: store.versions(name) for name in store.names()}
    arguments = (*built.album.arguments, "--json", f"--store={store.location}")
    made: list[subprocess.CompletedProcess[str]] = []
    taken = cpu_of_children(
        lambda: made.append(repic(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"}))
    )
    [done] = made
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["published"] is False
    assert report["processed"] == {}
    assert report["dataset"] == "dataset@v1"
    assert report["content"] == built.outcome.dataset.content
    assert is_quick(8, taken), "with the start of the process"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "repic.pipeline.stages.embeddings" in imported
    assert not imported & {"torch", "transformers", "open_clip", "ultralytics", "prefect", "timm"}
    assert {name: store.versions(name) for name in store.names()} == before


def test_five_more_photos_are_five_processed(
    album: Album, tmp_path: Path, repic_main: Callable[..., tuple[int, str, str]]
) -> None:
    mine = album.copy(tmp_path / "album")
    store = Store.open(tmp_path / "store", create=True)
    first = build(mine.settings(), store)
    before = tables(store, first)
    grown = mine.grown()
    code, printed, errors = repic_main(*grown.arguments, "--json", f"--store={store.location}")
    assert code == 0, errors
    report = json.loads(printed)
    new_objects = sum(len(entry["objects"]) for entry in mine.rest)
    assert report["published"] is True
    examples = report["processed"].pop("examples")
    assert MORE <= examples < PHOTOS + MORE
    assert report["processed"] == {
        "probes": MORE,
        "detections": MORE,
        "embeddings": new_objects,
    }
    assert report["files"] == PHOTOS + MORE

    for name in ("probes", "images", "detections", "objects", "embeddings"):
        old, new = keyed(before[name], name), keyed(store.read(f"{name}@latest"), name)
        assert old.keys() < new.keys()
        changed = {key for key in old if old[key] != new[key]}
        if name == "images":  # a new photo may be a near-duplicate with a smaller id
            changed = {
                key
                for key in changed
                if {**old[key], "near_duplicate_group": ""}
                != {**new[key], "near_duplicate_group": ""}
            }
        assert not changed, name

    fresh = build(grown.settings(), Store.open(tmp_path / "fresh", create=True))
    assert report["fingerprint"] == fresh.dataset.fingerprint
    assert report["content"] == fresh.dataset.content
    again = build(grown.settings(), store)
    assert not again.published
    assert contents(again) == contents(fresh)


@pytest.mark.slow
def test_rows_of_removed_photos_go_and_nothing_is_computed(
    album: Album, built: Built, tmp_path: Path
) -> None:
    store = built.copy(tmp_path / "store")
    mine = replace(album, folder=tmp_path)
    shutil.copytree(album.folder / "photos", tmp_path / "photos")
    whole = build(mine.written().settings(), store)
    assert computed_by(whole) == {}  # other paths, but the same bytes
    fewer = mine.without(7)
    less = build(fewer.settings(), store)
    assert computed_by(less) == {}
    assert less.published
    assert less.tables["images"].rows == PHOTOS - 7
    gone = {
        row["image_id"]
        for row in store.read(whole.tables["images"].ref).to_pylist()
        if row["uri"].rpartition("/")[2] in {entry["file"] for entry in album.entries[:7]}
    }
    assert len(gone) == 7
    for name, table in tables(store, less).items():
        for column in ("image_id", "anchor_image_id", "other_image_id"):
            if column in table.column_names:
                assert not gone & set(table[column].to_pylist()), name
    fresh = build(fewer.settings(), Store.open(tmp_path / "fresh", create=True))
    assert contents(less) == contents(fresh)

    back = build(mine.written().settings(), store)
    assert not back.published
    assert back.dataset.version == whole.dataset.version
    assert store.manifest("dataset@latest").version == whole.dataset.version
    assert store.manifest("examples@latest").version == whole.tables["examples"].version
    assert integrity.verify(store) == []


@pytest.mark.parametrize(
    ("change", "computed", "same"),
    [
        (
            "detector.min_area_share=0.03",
            {"detections"},
            {"probes", "images"},
        ),
        (
            "detector.expressions=annotation",
            set(),
            {"probes", "images", "detections"},
        ),
        (
            "encoder.margin=0.1",
            {"embeddings"},
            {"probes", "images", "detections", "objects"},
        ),
        (
            "mining.hard_per_object=1",
            set(),
            {"probes", "images", "detections", "objects", "embeddings"},
        ),
        (
            "splits.salt=other",
            set(),
            {"probes", "images", "detections", "objects", "embeddings"},
        ),
        (
            "mining.near_duplicate_bits=0",
            set(),
            {"probes"},
        ),
        (
            "examples.seed=1",
            set(),
            {
                "probes",
                "images",
                "detections",
                "objects",
                "embeddings",
                "groups",
                "pairs",
                "labels",
            },
        ),
    ],
)
def test_a_setting_recomputes_what_depends_on_it(
    change: str, computed: set[str], same: set[str], built: Built, tmp_path: Path
) -> None:
    store = built.copy(tmp_path / "store")
    outcome = build(built.album.settings(change), store)
    assert outcome.published
    everything = {"probes": PHOTOS, "detections": PHOTOS, "embeddings": objects_in(store)}
    assert computed_by(outcome) == {name: everything[name] for name in computed}
    kept = {n for n, m in outcome.tables.items() if m.version == 1} - {"quarantine"}
    assert kept == same
    back = build(built.album.settings(), store)
    assert (back.published, back.processed, back.dataset.version) == (False, {}, 1)


@pytest.mark.parametrize(
    ("change", "ran"),
    [
        ("nothing", []),
        ("detector.vocabulary=[ball, mug]", []),  # these boxes come from annotations
        ("sentence", ["examples"]),
        ("examples.seed=1", ["examples"]),
        ("mining.easy_per_object=0", ["pairs", "labels", "examples"]),
        ("encoder.margin=0.1", ["embeddings", "pairs", "labels", "examples", "quarantine"]),
        (
            "detector.min_area_share=0.03",
            # The boxes that stay are the same: no photo has other examples, or other vectors.
            ["detections", "objects", "pairs", "labels", "quarantine"],
        ),
    ],
)
def test_calls_of_each_stage_are_counted(
    change: str, ran: list[str], built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()
    names = [(stage, name) for stage in STAGES for name in ("run", "run_again")]
    for stage, name in names:
        if (method := getattr(stage, name, None)) is None:
            continue

        def counted(*arguments: Any, stage: Stage = stage, run: Any = method) -> Any:
            calls[stage.name] += 1
            return run(*arguments)

        monkeypatch.setattr(stage, name, counted)
    if change == "sentence":
        first, *others = objective_of("vlt").templates
        other = (replace(first, text=f"Please. {first.text}"), *others)
        monkeypatch.setattr(objective_of("vlt"), "templates", other)
    store = built.copy(tmp_path / "store")
    outcome = build(built.album.settings(*[change] * ("=" in change)), store)
    assert outcome.published == bool(ran)
    batch = built.album.settings().runtime.batch_size  # of so few inputs, a shard is a batch
    assert dict(calls) == {name: -(-outcome.processed.get(name, 1) // batch) for name in ran}


def test_a_detector_that_draws_fewer_boxes_leaves_vectors_known(
    built: Built, tmp_path: Path
) -> None:
    """An object is identified by its photo, box and label, not by its detector."""
    store = built.copy(tmp_path / "store")
    outcome = build(built.album.settings("detector.max_objects=1"), store)
    assert outcome.tables["objects"].rows == PHOTOS < built.outcome.tables["objects"].rows
    assert "embeddings" not in outcome.processed


def test_another_model_is_another_encoder(built: Built, tmp_path: Path) -> None:
    other = open_clip_folder(tmp_path / "other", seed=1)
    store = built.copy(tmp_path / "store")
    outcome = build(built.album.settings(f"encoder.pretrained={other}"), store)
    assert computed_by(outcome) == {"embeddings": objects_in(store)}
    same = open_clip_folder(tmp_path / "copied", seed=0)
    moved = build(built.album.settings(f"encoder.pretrained={same}"), store)
    assert moved.processed == {}
    assert moved.tables["embeddings"].version == 1
    assert moved.dataset.version == 1  # weights are identified by their bytes, not by their path


def test_another_vocabulary_is_another_detector(album: Album, tmp_path: Path) -> None:
    """Of a model; annotations have their own labels."""
    mine = album.copy(tmp_path / "album")
    few = replace(mine, entries=mine.entries[:5], rest=()).written()
    yolo = ("detector.kind=yolo", "detector.checkpoint=sample", "detector.image_size=160")
    store = Store.open(tmp_path / "store", create=True)
    build(few.settings(*yolo), store)
    every = set(store.read("objects@latest")["label"].to_pylist())
    word = min(every)
    settings = few.settings(*yolo, f"detector.vocabulary=[{word}]")
    outcome = run_build(settings, store, scan(settings), allow_shrink=True)  # there are no rows
    assert outcome.processed["detections"] == 5
    assert "probes" not in outcome.processed
    assert len(every) > 1
    assert set(store.read("objects@latest")["label"].to_pylist()) == {word}
    made_by = {
        column: {store.read(f"objects@v{v}")[column][0].as_py() for v in (1, 2)}
        for column in ("detector", "vocabulary")
    }
    assert {column: len(values) for column, values in made_by.items()} == {
        "detector": 2,
        "vocabulary": 2,
    }


def test_only_the_changed_label_is_looked_at_again(album: Album, tmp_path: Path) -> None:
    """Annotations are what the annotation detector draws, so they are part of its input."""
    mine = album.copy(tmp_path / "album")
    store = Store.open(tmp_path / "store", create=True)
    build(mine.settings(), store)
    entry = json.loads(json.dumps(mine.entries[0]))
    entry["objects"][0]["label"] = mine.entries[1]["objects"][0]["label"] + " toy"
    outcome = build(replace(mine, entries=(entry, *mine.entries[1:])).written().settings(), store)
    assert outcome.processed["detections"] == 1
    assert outcome.processed["embeddings"] == 1
    assert "probes" not in outcome.processed


@pytest.mark.parametrize(
    "change", ["runtime.shard_rows=7", "runtime.workers=1", "runtime.shard_rows=1000"]
)
def test_how_work_is_cut_leaves_no_trace(change: str, built: Built, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    outcome = build(built.album.settings(change), store)
    same = {n: contents(outcome)[n] for n in outcome.tables}
    assert same == {n: contents(built.outcome)[n] for n in outcome.tables}
    assert outcome.dataset.fingerprint == built.outcome.dataset.fingerprint
    assert outcome.dataset.content == built.outcome.dataset.content


def test_the_batch_that_a_model_sees_is_part_of_its_fingerprint(
    built: Built, tmp_path: Path
) -> None:
    store = built.copy(tmp_path / "store")
    outcome = build(built.album.settings("runtime.batch_size=5"), store)
    assert computed_by(outcome) == {"embeddings": objects_in(store)}


def test_companions_do_not_matter(built: Built, album: Album, tmp_path: Path) -> None:
    """A photo alone gives the same rows as among forty."""
    mine = album.copy(tmp_path / "album")
    alone = replace(mine, entries=mine.entries[11:12], rest=()).written()
    store = Store.open(tmp_path / "store", create=True)
    outcome = build(alone.settings(), store)
    everything = tables(built.store, built.outcome)
    for name in ("probes", "detections", "objects", "embeddings"):
        ours, theirs = store.read(outcome.tables[name].ref), everything[name]
        rows = keyed(theirs, name)
        assert ours.num_rows
        for key, row in keyed(ours, name).items():
            assert row == rows[key], name


@pytest.mark.slow
def test_many_small_parts_become_few_with_the_same_content(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_results, "MAX_SMALL_PARTS", 3)
    store = Store.open(tmp_path / "store", create=True)
    small = built.album.settings("runtime.shard_rows=4")
    build(small, store)  # ten parts of four photos, none of them small for shards of four
    assert len(store.manifest("probes@latest").shards) == PHOTOS // 4
    large: Settings = built.album.settings("splits.salt=other")
    first = build(large, store)
    assert len(first.tables["probes"].shards) == PHOTOS // 4  # published before: not touched
    assert first.dataset.content != built.outcome.dataset.content

    fewer = built.album.copy(tmp_path / "album").without(1)
    merged = build(fewer.settings(), store)
    assert computed_by(merged) == {}
    assert len(merged.tables["probes"].shards) == 1
    assert len(merged.tables["detections"].shards) == 1
    fresh = build(fewer.settings(), Store.open(tmp_path / "fresh", create=True))
    assert contents(merged) == contents(fresh)
    assert integrity.verify(store) == []


@pytest.mark.slow
def test_one_photo_a_night(built: Built, album: Album, tmp_path: Path) -> None:
    """Nights with one more photo each leave few files and the content of one build."""
    mine = album.copy(tmp_path / "album")
    store = Store.open(tmp_path / "store", create=True)
    nights = kept_results.MAX_SMALL_PARTS + 2
    for night in range(1, nights + 1):
        tonight = replace(mine, entries=mine.entries[:night]).written()
        outcome = build(tonight.settings(), store)
        assert outcome.processed["probes"] == 1
    assert len(outcome.tables["probes"].shards) <= kept_results.MAX_SMALL_PARTS
    fresh = build(tonight.settings(), Store.open(tmp_path / "fresh", create=True))
    assert contents(outcome) == contents(fresh)


def test_gc_leaves_what_the_next_build_needs(built: Built, tmp_path: Path) -> None:
    from storage.gc import gc

    store = built.copy(tmp_path / "store")
    build(built.album.settings("encoder.margin=0.1"), store)
    garbage = gc(store, delete=True, keep_versions=1)
    assert garbage.deleted
    assert store.versions("dataset") == [2]
    again = build(built.album.settings("encoder.margin=0.1"), store)
    assert not again.published
    back = build(built.album.settings(), store)  # its vectors are gone, the rest is there
    assert computed_by(back) == {"embeddings": objects_in(store)}
    assert contents(back) == contents(built.outcome)
    assert integrity.verify(store) == []

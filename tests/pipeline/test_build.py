"""What a build publishes: every table is complete, and tables are consistent."""

from __future__ import annotations

import errno
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from repic.pipeline import catalog, status
from repic.pipeline.build import Build
from repic.pipeline.scan import scan
from repic.pipeline.stages import STAGES
from repic.tables import TABLES
from storage import integrity
from storage.gc import gc
from storage.hashing import content_hash
from storage.lineage import lineage
from storage.manifest import Manifest
from storage.store import Store
from tests.builds import OF_MODELS, PHOTOS, Album, Built, build, contents, start, tables
from tests.duckdb_client import opened


@pytest.fixture(scope="module")
def made(built: Built) -> dict[str, pa.Table]:
    return dict(tables(built.store, built.outcome))


def column_map(table: pa.Table, key: str, value: str) -> dict[str, Any]:
    """Values of one column by another."""
    return dict(zip(table[key].to_pylist(), table[value].to_pylist(), strict=True))


def test_every_table_of_every_stage_is_published(built: Built, made: dict[str, pa.Table]) -> None:
    assert set(made) == {name for stage in STAGES for name in stage.writes}
    assert set(made) == TABLES.keys() - OF_MODELS - {"reviews"}
    assert made["images"].num_rows == built.outcome.files == PHOTOS
    assert made["objects"].num_rows == made["embeddings"].num_rows >= PHOTOS
    assert made["quarantine"].num_rows == 0
    assert set(made["examples"]["objective"].to_pylist()) == {"oct", "vlt", "ict"}


@pytest.mark.parametrize("name", sorted(TABLES.keys() - OF_MODELS - {"reviews"}))
def test_a_table_has_its_schema_and_its_key(
    name: str, built: Built, made: dict[str, pa.Table]
) -> None:
    table, declared = made[name], TABLES[name]
    assert declared.check(table).schema.names == [c.name for c in declared.columns]
    assert table.schema.names == declared.schema.names
    assert not any(
        table[c.name].null_count for c in declared.columns if not c.nullable
    )  # a null is only where the schema allows one
    keys = list(zip(*(table[k].to_pylist() for k in declared.key), strict=True))
    assert len(set(keys)) == len(keys)
    for column in declared.columns:
        assert table.schema.field(column.name).metadata == {b"doc": column.doc.encode()}


def test_no_gc_comes_between_a_build_and_what_was_made_before(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, blocked = built.copy(tmp_path / "store"), []
    existing_dataset = Build.existing_dataset

    def looked_up(this: Build) -> Manifest | None:
        blocked.append(gc(Store.open(store.location), delete=True).blocked_by)
        return existing_dataset(this)

    monkeypatch.setattr(Build, "existing_dataset", looked_up)
    assert not build(built.album.settings(), store).published
    assert blocked
    assert all(blocked)


def test_ids_are_hashes_and_images_are_named_by_their_bytes(made: dict[str, pa.Table]) -> None:
    for name in ("image_id", "object_id", "pair_id", "example_id"):
        for table in made.values():
            if name in table.column_names:
                assert all(re.fullmatch("[0-9a-f]{32}", key) for key in table[name].to_pylist())
    for image_id, sha256 in zip(
        made["images"]["image_id"].to_pylist(), made["images"]["sha256"].to_pylist(), strict=True
    ):
        assert sha256.startswith(image_id)


def test_nothing_refers_to_what_is_not_there(made: dict[str, pa.Table]) -> None:
    images = set(made["images"]["image_id"].to_pylist())
    objects = column_map(made["objects"], "object_id", "image_id")
    pairs = {row["pair_id"]: row for row in made["pairs"].to_pylist()}
    assert set(objects.values()) <= images
    assert set(made["embeddings"]["object_id"].to_pylist()) == objects.keys()
    assert set(made["groups"]["object_id"].to_pylist()) == objects.keys()
    for pair in pairs.values():
        assert objects[pair["anchor_id"]] == pair["anchor_image_id"]
        assert objects[pair["other_id"]] == pair["other_image_id"]
    for example in made["examples"].to_pylist():
        assert {picture["image_id"] for picture in example["images"]} <= images
        assert {r["object_id"] for r in example["references"]} <= objects.keys()
        assert set(example["pair_ids"]) <= pairs.keys()


def test_pairs_are_of_two_photos_that_are_no_near_duplicates(made: dict[str, pa.Table]) -> None:
    cluster = column_map(made["images"], "image_id", "near_duplicate_group")
    identity = column_map(made["objects"], "object_id", "identity")
    for pair in made["pairs"].to_pylist():
        assert cluster[pair["anchor_image_id"]] != cluster[pair["other_image_id"]]
        same = identity[pair["anchor_id"]] == identity[pair["other_id"]]
        assert same == (pair["kind"] == "positive")
        assert 0 <= pair["percentile"] <= 100
        assert -1 <= pair["similarity"] <= 1
        assert round(pair["similarity"], 4) == pytest.approx(pair["similarity"], abs=1e-7)


def test_nothing_crosses_splits(made: dict[str, pa.Table]) -> None:
    photo_split = column_map(made["groups"], "image_id", "split")
    object_split = column_map(made["groups"], "object_id", "split")
    cluster = column_map(made["images"], "image_id", "near_duplicate_group")
    identity = column_map(made["objects"], "object_id", "identity")
    group = column_map(made["groups"], "object_id", "group")
    used: dict[tuple[str, str], set[str]] = defaultdict(set)
    for pair in made["pairs"].to_pylist():
        assert object_split[pair["anchor_id"]] == object_split[pair["other_id"]] == pair["split"]
    for example in made["examples"].to_pylist():
        split = example["split"]
        for picture in example["images"]:
            assert photo_split[picture["image_id"]] == split
            used["photo", picture["image_id"]].add(split)
            used["near-duplicate", cluster[picture["image_id"]]].add(split)
        for reference in example["references"]:
            used["identity", identity[reference["object_id"]]].add(split)
            used["group", group[reference["object_id"]]].add(split)
    assert {kind for kind, _ in used} == {"photo", "near-duplicate", "identity", "group"}
    assert all(len(splits) == 1 for splits in used.values())
    assert {split for splits in used.values() for split in splits} == {
        "train",
        "validation",
        "test",
    }


def test_an_example_is_complete(made: dict[str, pa.Table]) -> None:
    sizes = {
        row["image_id"]: (row["width"], row["height"], row["uri"])
        for row in made["images"].to_pylist()
    }
    for example in made["examples"].to_pylist():
        blocks = [block["type"] for block in example["prompt"]]
        assert blocks.count("image") == len(example["images"])
        assert set(blocks) == {"image", "text"}
        assert all(b["text"] for b in example["prompt"] if b["type"] == "text")
        assert all(not b["text"] for b in example["prompt"] if b["type"] == "image")
        for picture in example["images"]:
            width, height, uri = sizes[picture["image_id"]]
            assert (picture["width"], picture["height"], picture["uri"]) == (width, height, uri)
            x1, y1, x2, y2 = picture["crop"]
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
        query = example["images"][-1]
        assert query["role"] == "query"
        assert [p["role"] for p in example["images"]].count("query") == 1
        assert query["crop"] == [0, 0, query["width"], query["height"]]
        match example["objective"]:
            case "oct":
                assert example["answer"] in {"yes", "no"}
                assert example["answer"] == ("yes" if example["kind"] == "positive" else "no")
                assert [r["present"] for r in example["references"]] == [example["answer"] == "yes"]
            case "vlt":
                assert example["answer"] == "{box}"
                x1, y1, x2, y2 = example["box"]
                assert 0 <= x1 < x2 <= query["width"]
                assert 0 <= y1 < y2 <= query["height"]
            case _:
                present = [r["name"] for r in example["references"] if r["present"]]
                named = re.findall("<(.+?)>", example["answer"])
                if example["kind"] == "which":  # asks about one box, whose object may have no name
                    assert set(named) <= set(present)
                    assert len(named) <= 1
                else:
                    assert set(named) == (set(present) if example["caption"] else set())
        asks_about_a_box = example["objective"] == "vlt" or example["kind"] == "which"
        assert (example["box"] is not None) == asks_about_a_box


def test_a_visual_question_has_one_answer(made: dict[str, pa.Table]) -> None:
    """A label in a VLT question names exactly one object of the photo."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for row in made["objects"].to_pylist():
        counts[row["image_id"], row["label"]] += 1
    for row in made["objects"].to_pylist():
        assert row["same_label_count"] == counts[row["image_id"], row["label"]]
    labels = {
        (row["image_id"], row["x1"], row["y1"], row["x2"], row["y2"]): row["label"]
        for row in made["objects"].to_pylist()
    }
    for example in made["examples"].to_pylist():
        if example["objective"] == "vlt" and example["kind"] == "label":
            photo = example["images"][-1]["image_id"]
            assert counts[photo, labels[(photo, *example["box"])]] == 1


def test_the_manifests_say_what_was_used(built: Built) -> None:
    store, outcome = built.store, built.outcome
    dataset = outcome.dataset
    assert dataset.settings["sources"][0]["path"] == built.album.source["path"]
    assert {i.name for i in dataset.inputs} == outcome.tables.keys()
    for name, manifest in outcome.tables.items():
        stage = next(s for s in STAGES if name in s.writes)
        assert manifest.content == content_hash(store.read(manifest.ref)), name
        assert manifest.settings["version"] == stage.version
        bound = {i.name for i in manifest.inputs}
        assert bound == set(stage.reads) - {"source", "reviews"}
    assert outcome.tables["images"].sources["coco"]["files"] == PHOTOS
    assert "sha256" in outcome.tables["embeddings"].models["encoder"]["model"]
    tree = lineage(store, "examples@latest").tree()
    assert "embeddings@v1" in tree
    assert built.album.source["path"] in tree or "coco" in tree


def test_latest_is_the_build_and_the_store_is_clean(built: Built) -> None:
    store = built.store
    for name in (*built.outcome.tables, "dataset"):
        assert store.manifest(f"{name}@latest").version == 1
    assert integrity.verify(store) == []
    assert not store.files.find("tmp")
    assert not store.files.find("leases")


def test_a_fingerprint_is_known_before_anything_is_made(built: Built) -> None:
    settings = built.album.settings()
    this = Build(settings, built.store, scan(settings))
    assert this.fingerprints["dataset"] == built.outcome.dataset.fingerprint
    assert {n: this.fingerprints[n] for n in built.outcome.tables} == {
        n: m.fingerprint for n, m in built.outcome.tables.items()
    }


def test_a_local_store_keeps_its_catalog_up_to_date(
    built: Built, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = catalog.open_store(built.copy(tmp_path / "store").location)
    path = tmp_path / "store" / "catalog.duckdb"
    path.unlink(missing_ok=True)
    assert not build(built.album.settings(), store).published
    assert path.exists()
    remote = catalog.open_store(f"memory://{request.node.name}", create=True)
    assert build(built.album.settings(), remote).published
    assert not remote.files.find("catalog.duckdb")


def test_a_version_is_published_although_its_catalog_cannot_be_written(
    built: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = catalog.open_store(built.copy(tmp_path / "store").location)
    replace = os.replace

    def full(source: str | Path, target: str | Path) -> None:
        if str(target).endswith("catalog.duckdb"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert build(built.album.settings("mining.hard_per_object=1"), store).published
    assert store.current().of("dataset").latest == 2
    assert "No space left to write" in caplog.text
    assert "`repic catalog` writes it again" in caplog.text
    assert status.read(store).failed == ()
    with catalog.connect(store) as connection:
        shown = catalog.ask(store, connection, "select count(*) from v2.pairs").fetchall()
    assert shown == [(store.manifest("pairs@latest").rows,)]


@pytest.mark.slow
def test_the_catalog_reads_from_anywhere_while_a_build_runs(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = built.copy(tmp_path / "store")
    path = catalog.refresh(store)
    monkeypatch.chdir("/")
    running = start(
        [*built.album.arguments, "--set=mining.hard_per_object=1", f"--store={store.location}"]
    )
    asked = 0
    try:
        while running.poll() is None or not asked:
            with opened(path) as connection:
                found = connection.execute(
                    "select count(*), count(distinct kind), min(percentile), max(percentile) "
                    "from pair_photos where anchor_uri like 'file:///%' and other_uri is not null"
                ).fetchone()
                assert found is not None
                assert found[0] > 0
                assert found[1] == 2
                assert found[2] >= 0
                assert found[3] <= 100
                asked += 1
            time.sleep(0.05)  # for the build
    finally:
        _, errors = running.communicate(timeout=500)
    assert running.returncode == 0, errors
    with opened(path) as connection:
        rows = connection.execute("select count(*) from v2.pairs").fetchone()
        old = connection.execute("select count(*) from v1.pairs").fetchone()
        latest = connection.execute("select count(*) from pairs").fetchone()
    assert rows == latest
    assert rows is not None
    assert old is not None
    assert rows[0] < old[0]


def test_the_sample_profile_builds_with_the_real_encoder(
    tmp_path: Path, repic_main: Callable[..., tuple[int, str, str]]
) -> None:
    """The only fast test that runs the ImageNet encoder in a complete build."""
    code, _, errors = repic_main(
        *("build", "--profile", "sample", "--set=source.count=10", "--set=source.identities=3"),
        *("--set=source.size=96", f"--set=source.path={tmp_path / 'world'}", "--json"),
        *("--set=runtime.threads=1", "--store", str(tmp_path / "store")),
    )
    assert code == 0, errors
    store = Store.open(tmp_path / "store")
    assert store.manifest("images@latest").rows == 10
    assert store.manifest("examples@latest").rows > 0
    vector = store.read("embeddings@latest")["vector"].type
    assert pa.types.is_fixed_size_list(vector)
    assert vector.value_type == pa.float16()


def test_a_build_is_the_same_in_any_store(album: Album, built: Built, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "other", create=True)
    assert contents(build(album.settings(), store)) == contents(built.outcome)

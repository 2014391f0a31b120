"""The paper's recipe on its five sources, with the shipped models in place of the paper's."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from repic.pipeline import status
from storage.store import Store
from tests import five_sources
from tests.builds import build, repic
from tests.five_sources import FiveSources


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[FiveSources, Store]:
    """The five sources with few photos, built; read-only."""
    folder = tmp_path_factory.mktemp("five")
    five = FiveSources.make(folder, coco=36, objects365=36, celeba=30, refcoco=24, subjects=10)
    store = Store.open(folder / "store", create=True)
    build(five.settings("examples.total=100"), store)
    return five, store


def shares(rows: list[dict[str, Any]]) -> dict[str, float]:
    counts = Counter(row["objective"] for row in rows)
    counts["multi"] = sum(row["kind"] == "multi" for row in rows)
    return {name: count / len(rows) for name, count in counts.items()}


def check_splits(store: Store, rows: list[dict[str, Any]]) -> None:
    """No photo, nor a near-duplicate of it, and no identity is in rows of two splits."""
    photos = {r["image_id"]: r["near_duplicate_group"] for r in table(store, "images")}
    objects = {r["object_id"]: r["identity"] or r["object_id"] for r in table(store, "objects")}
    seen: dict[str, set[str]] = {}
    for row in rows:
        for picture in row["images"]:
            seen.setdefault(photos[picture["image_id"]], set()).add(row["split"])
        for reference in row["references"]:
            seen.setdefault(objects[reference["object_id"]], set()).add(row["split"])
    assert {split for splits in seen.values() for split in splits} == {
        "train",
        "validation",
        "test",
    }
    assert all(len(splits) == 1 for splits in seen.values())


def table(store: Store, name: str) -> list[dict[str, Any]]:
    return store.read(f"{name}@latest").to_pylist()


def test_every_source_gives_what_the_paper_took_from_it(small: tuple[FiveSources, Store]) -> None:
    _, store = small
    source_of = {row["image_id"]: row["source"] for row in table(store, "images")}
    rows = table(store, "examples")
    found = {(source_of[r["images"][-1]["image_id"]], r["objective"], r["origin"]) for r in rows}
    alone = ("coco", "objects365", "celeba")
    assert found == {
        *((name, objective, "same_photo") for name in alone for objective in ("oct", "ict")),
        *(("subjects200k", objective, "two_photos") for objective in ("oct", "ict")),
        ("refcoco", "vlt", None),
    }
    assert all(row["kind"] == "expression" for row in rows if row["objective"] == "vlt")
    assert {row["kind"] for row in rows if row["objective"] == "ict"} == {"single", "multi"}


def test_things_that_no_other_photo_shows_cost_no_photo(small: tuple[FiveSources, Store]) -> None:
    """Each is an identity of its own, which does not decide the split of its photo."""
    _, store = small
    photos = {row["image_id"]: row for row in table(store, "images")}
    alone = [row for row in table(store, "objects") if row["identity_origin"] == "object"]
    sources = {photos[row["image_id"]]["source"] for row in alone}
    assert sources == {"coco", "objects365", "refcoco"}
    assert len({row["identity"] for row in alone}) == len(alone) == 2 * 96
    splits = {row["image_id"]: row["split"] for row in table(store, "groups")}
    assert None not in {splits[row["image_id"]] for row in alone}
    positives = {row["anchor_id"] for row in table(store, "pairs") if row["kind"] == "positive"}
    assert not positives & {row["object_id"] for row in alone}


def test_shares_kinds_and_splits_of_a_small_build(small: tuple[FiveSources, Store]) -> None:
    _, store = small
    rows = table(store, "examples")
    train = [row for row in rows if row["split"] == "train"]
    assert Counter(row["objective"] for row in train) == {"oct": 45, "vlt": 24, "ict": 31}
    assert sum(row["kind"] == "multi" for row in train) in (4, 5)
    check_splits(store, rows)


def test_people_and_objects_get_first_names(small: tuple[FiveSources, Store]) -> None:
    _, store = small
    labels = {row["object_id"]: row["label"] for row in table(store, "objects")}
    locales: dict[bool, set[str]] = {True: set(), False: set()}
    for row in table(store, "examples"):
        for reference in row["references"]:
            locales[labels[reference["object_id"]] == "face"].add(reference["locale"])
    assert locales[False] == {"en_US", "fr_FR", "it_IT", "ko_KR", "zh_CN"}
    assert locales[True] <= locales[False]
    assert len(locales[True]) > 2


def test_status_counts_the_origins(small: tuple[FiveSources, Store]) -> None:
    _, store = small
    counts = Counter(
        (row["objective"], row["origin"]) for row in table(store, "examples") if row["origin"]
    )
    origins = status.read(store).origins
    assert {(o, name): n for o, found in origins.items() for name, n in found.items()} == counts
    assert "same_photo" not in " ".join(sentences := status.origin_sentences(origins))
    assert len(sentences) == 2


def test_without_references_of_the_same_photo_only_pairs_are_left(
    small: tuple[FiveSources, Store], tmp_path: Path
) -> None:
    """As before there was the setting: COCO gives neither OCT nor single captions."""
    five, _ = small
    store = Store.open(tmp_path / "store", create=True)
    build(five.settings("examples.same_photo.use=never", "examples.shares="), store)
    source_of = {row["image_id"]: row["source"] for row in table(store, "images")}
    positives = [row for row in table(store, "examples") if row["answer"] == "yes"]
    assert {source_of[row["images"][-1]["image_id"]] for row in positives} == {"subjects200k"}


@pytest.mark.slow
def test_the_recipe_gives_its_shares_and_trains(tmp_path: Path) -> None:
    five = FiveSources.make(tmp_path / "five")
    where = f"--store={tmp_path / 'store'}"
    built = repic("build", *five.arguments, where, "--json")
    assert built.returncode == 0, built.stderr
    store = Store.open(tmp_path / "store")
    rows = table(store, "examples")
    assert len(rows) >= 2_000
    for part in (rows, [row for row in rows if row["split"] == "train"]):
        found = shares(part)
        assert found["oct"] == pytest.approx(0.45, abs=0.01)
        assert found["vlt"] == pytest.approx(0.24, abs=0.01)
        assert found["ict"] == pytest.approx(0.31, abs=0.01)
        assert found["multi"] == pytest.approx(0.047, abs=0.005)
    answers = Counter(r["answer"] for r in rows if r["objective"] == "oct")
    assert answers["yes"] / sum(answers.values()) == pytest.approx(0.5, abs=0.05)
    check_splits(store, rows)
    changes = (f"--set={change}" for change in five_sources.TRAIN_SAMPLES)
    trained = repic("train", "--profile=paper", where, *changes, "--json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)
    assert store.manifest("checkpoint@latest").kind == "checkpoint"

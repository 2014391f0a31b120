"""Withdrawn versions: their content is deleted, and the store stays whole without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import integrity, repair, withdrawn
from storage.catalog import connect
from storage.errors import NotFoundError
from storage.gc import gc
from storage.lineage import lineage
from storage.manifest import ArtifactRef
from storage.reader import StoreReader
from storage.store import Store
from tests.storage.stores import build, origin


def refs(*names: str) -> list[ArtifactRef]:
    return [ArtifactRef.parse(name) for name in names]


@pytest.fixture
def two(store: Store) -> Store:
    """Two versions: of other pairs, and of the same rows of images under another fingerprint."""
    build(store, 1)
    build(store, 2)
    return store


def files_of(store: Store, ref: str) -> list[Path]:
    return [Path(store.files.full(shard.path)) for shard in store.manifest(ref).shards]


def test_only_files_that_no_other_version_names_go(two: Store) -> None:
    assert two.manifest("images@v1").shards == two.manifest("images@v2").shards
    two.withdraw(refs("images@v1", "pairs@v1", "dataset@v1"))
    collected = gc(two, delete=True)
    assert [file.path for file in collected.files] == [two.manifest("pairs@v1").shards[0].path]
    assert not any(path.exists() for path in files_of(two, "pairs@v1"))
    assert two.read("images@v2").num_rows == 10
    assert integrity.verify(two) == []
    assert gc(two).files == ()


def test_reading_says_why_it_is_gone(two: Store) -> None:
    two.withdraw(refs("pairs@v1"))
    gc(two, delete=True)
    for read in (two.read, two.relation, lambda ref: list(two.batches(ref))):
        with pytest.raises(NotFoundError, match="pairs@v1 is withdrawn"):
            read("pairs@v1")
    assert str(lineage(two, "dataset@v1").root) == "dataset@v1"


def test_no_ref_can_move_to_it(two: Store) -> None:
    two.withdraw(refs("pairs@v1"))
    before = two.current()
    with pytest.raises(NotFoundError, match="pairs@v1 is withdrawn"):
        two.tag("pairs@v1", "good")
    with pytest.raises(NotFoundError, match="pairs@v1 is withdrawn"):
        two.commit({"images": 1, "pairs": 1})
    assert two.current() == before


def test_refs_lead_to_what_is_left(two: Store) -> None:
    two.tag("pairs@v2", "good")
    two.tag("pairs@v1", "old")
    two.withdraw(refs("pairs@v2", "dataset@v2"))
    pairs = two.current().of("pairs")
    assert (pairs.latest, pairs.tags) == (1, {"old": 1})
    assert two.current().of("images").latest == 2
    two.withdraw(refs("pairs@v1"))
    assert two.current().of("pairs").latest is None
    assert withdrawn.find(two.files) == set(refs("pairs@v1", "pairs@v2", "dataset@v2"))


def test_repair_does_not_bring_it_back(two: Store) -> None:
    """Not even from a version with equal rows."""
    twin = two.publish("pairs", two.read("pairs@v1"), origin("pairs1"), key=["id"])
    assert twin.version == 1
    two.withdraw(refs("pairs@v1"))
    gc(two, delete=True)
    before = {path: path.read_bytes() for path in Path(two.location).rglob("*.json")}
    assert repair.set_aside(two) == []
    assert repair.mend(two) == []
    assert {path: path.read_bytes() for path in Path(two.location).rglob("*.json")} == before


def test_the_same_rows_can_be_published_again(two: Store) -> None:
    rows = two.read("pairs@v1")
    two.withdraw(refs("pairs@v1"))
    gc(two, delete=True)
    again = two.publish("pairs", rows, origin("pairs1"), key=["id"])
    assert again.version == 3
    assert two.read("pairs@v3").equals(rows)


def test_the_catalog_has_no_views_of_it(two: Store) -> None:
    two.withdraw(refs("pairs@v1", "dataset@v1"))
    gc(two, delete=True)
    with connect(two, versions=[1]) as connection:
        views = connection.sql(
            "select schema_name, view_name from duckdb_views() where not internal"
        ).fetchall()
        assert connection.sql("select count(*) from pairs").fetchall() == [(10,)]
    assert ("v1", "pairs") not in views
    assert {("v2", "pairs"), ("main", "pairs")} <= set(views)


def test_a_version_that_does_not_exist_is_not_withdrawn(two: Store) -> None:
    with pytest.raises(NotFoundError):
        two.withdraw(refs("pairs@v1", "pairs@v7"))
    assert withdrawn.find(StoreReader(two.location).files) == frozenset()

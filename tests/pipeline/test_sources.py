"""Several sources in one dataset version: what each photo and each row came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repic import config
from repic.errors import ConfigError, SourceError
from repic.images import network
from repic.pipeline.catalog import connect
from repic.pipeline.scan import scan
from storage.store import Store
from tests.builds import Album, build, computed_by
from tests.images import hostile_servers as servers
from tests.three_sources import Sources

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def three(album: Album, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources.make(tmp_path_factory.mktemp("three"), album)


@pytest.fixture(scope="module")
def store(three: Sources, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A build of the three sources; read-only."""
    made = Store.open(tmp_path_factory.mktemp("built") / "store", create=True)
    build(three.settings(), made)
    return made


def rows(store: Store, query: str) -> list[dict[str, Any]]:
    with connect(store) as connection:
        return connection.sql(query).to_arrow_table().to_pylist()


LINEAGE = """
    select s.source, s.kind, s.path, s.detector, e.objective, i.uri
    from examples e
    join images i on i.image_id = e.images[-1].image_id
    join sources s on s.source = i.source
"""


def test_sql_says_which_source_each_row_came_from(three: Sources, store: Store) -> None:
    found = rows(store, LINEAGE)
    assert len(found) == store.manifest("examples@latest").rows > 0
    folders = {"folder": three.family, "coco": three.coco.parent, "sample": three.world}
    for row in found:
        assert row["uri"].startswith(folders[row["source"]].as_uri()), row
    assert {row["source"] for row in found} == set(folders)
    assert {(row["source"], row["kind"], row["detector"]) for row in found} == {
        ("folder", "folder", "yolo"),
        ("coco", "coco", "annotation"),
        ("sample", "sample", "annotation"),
    }
    assert {row["path"] for row in found if row["source"] == "coco"} == {str(three.coco)}


@pytest.mark.slow
def test_each_source_has_its_own_detector_identities_and_kept_results(
    three: Sources, store: Store, tmp_path: Path
) -> None:
    """A source that is added, or gets another detector, costs only its own photos."""
    made = Store.open(tmp_path / "store", create=True)
    family = config.load(
        "photos",
        [change for change in three.overrides if not change.startswith("sources.")],
        **config.chosen_sources(str(three.family)),
    )
    first = build(family, made)
    assert first.processed["detections"] == 10
    assert first.tables["images"].sources["folder"]["files"] == 10
    second = build(three.settings(), made)
    assert second.processed["detections"] == second.processed["probes"] == 40
    [objects] = rows(
        made,
        """
        select count(distinct o.detector) filter (i.source = 'folder') as folder,
            count(distinct o.detector) filter (i.source <> 'folder') as others,
            count(*) filter (i.source = 'folder' and o.identity_origin <> 'folder') as wrong
        from objects o join images i using (image_id)
        """,
    )
    assert objects == {"folder": 1, "others": 1, "wrong": 0}
    third = build(three.settings("sources.sample.detector.min_area_share=0.02"), made)
    assert third.processed["detections"] == 10
    again = build(three.settings(), made)
    assert again.processed == {}
    assert again.dataset.fingerprint == second.dataset.fingerprint
    assert again.dataset.fingerprint == store.manifest("dataset@latest").fingerprint


@pytest.mark.slow
def test_the_command_builds_several_sources_once(
    three: Sources, tmp_path: Path, repic_main: Main
) -> None:
    arguments = ["build", *three.arguments, f"--store={tmp_path / 'store'}"]
    code, out, err = repic_main(*arguments)
    assert code == 0, err
    assert "source coco: 30 of 30 photos" in out
    code, out, _ = repic_main(*arguments, "--json")
    assert code == 0
    assert not json.loads(out)["published"]
    assert json.loads(out)["processed"] == {}
    code, out, _ = repic_main("status", f"--store={tmp_path / 'store'}", "--json")
    assert json.loads(out)["sources"] == {
        "folder": {"found": 10, "usable": 10},
        "coco": {"found": 30, "usable": 30},
        "sample": {"found": 10, "usable": 10},
    }
    page = tmp_path / "report.html"
    code, _, err = repic_main("report", f"--out={page}", f"--store={tmp_path / 'store'}")
    assert code == 0, err
    assert f"coco · {three.coco} · 30 of 30 photos" in page.read_text()


def test_photos_are_used_only_for_the_objectives_of_their_source(
    three: Sources, store: Store, tmp_path: Path
) -> None:
    shutil.copytree(store.location, tmp_path / "store")
    made = Store.open(tmp_path / "store")
    result = build(three.settings("sources.coco.objectives=[vlt]"), made)
    assert computed_by(result) == {}
    found = rows(
        made,
        """
        select distinct e.objective, i.source
        from examples e, unnest(e.images) as t(picture)
        join images i on i.image_id = picture.image_id
        """,
    )
    used = {(row["objective"], row["source"]) for row in found}
    assert {source for objective, source in used if objective == "vlt"} >= {"coco"}
    assert {source for objective, source in used if objective != "vlt"} <= {"folder", "sample"}
    none = build(three.settings("source.objectives=[oct]"), made)
    notes = none.dataset.notes["examples"].values()
    assert {n["objective"]: n["why"] for n in notes}["ict"] == (
        "no source has photos for it (source.objectives)"
    )


def test_rows_are_drawn_in_proportion_to_the_weight_of_their_source(
    three: Sources, store: Store, tmp_path: Path
) -> None:
    shutil.copytree(store.location, tmp_path / "store")
    made = Store.open(tmp_path / "store")

    def counts(*changes: str) -> dict[str, int]:
        build(three.settings("examples.total=60", *changes), made)
        found = rows(made, f"select source, count(*) as n from ({LINEAGE}) group by all")
        return {row["source"]: row["n"] for row in found}

    plain, heavy = counts(), counts("sources.sample.weight=1000")
    assert heavy["sample"] > plain["sample"]
    assert counts("sources.sample.weight=0.001").get("sample", 0) < plain["sample"]
    assert counts("source.weight=3") == plain


def test_a_photo_of_two_sources_is_of_the_first_and_keeps_what_the_second_adds(
    album: Album, tmp_path: Path
) -> None:
    photos = album.folder / "photos"
    texts = [f"folder:{photos}", f"coco:{album.folder / 'instances.json'}"]
    change = f"sources.coco.images={photos}"
    listed = len(list(photos.iterdir()))
    for order, first in ((texts, "folder"), (texts[::-1], "coco")):
        settings = config.load("photos", [change], **config.chosen_sources(sources=order))
        found = scan(settings)
        named = {s.photo.source for s in found.photos if s.photo.annotations}
        assert named == {first}
        assert sum(found.found.values()) == listed
        assert found.found[first] == (listed if first == "folder" else len(album.entries))
        assert all(s.photo.caption for s in found.photos if s.photo.annotations)


def test_copies_in_two_sources_are_one_photo_of_the_first(album: Album, tmp_path: Path) -> None:
    for name, identity in (("a", "Ann"), ("b", "Ben")):
        (tmp_path / name / identity).mkdir(parents=True)
        shutil.copy(album.file(0), tmp_path / name / identity / f"{name}.png")
    (tmp_path / "b" / "labels.csv").write_text("uri,label\nBen/b.png,mug\n")
    values = config.chosen_sources(sources=[f"folder:{tmp_path / 'b'}", f"folder:{tmp_path / 'a'}"])
    [photo] = scan(config.load("photos", **values)).photos
    assert (photo.photo.source, photo.photo.identity, photo.photo.label) == ("folder", "Ben", "mug")
    [photo] = scan(config.load("photos", sources=values["sources"][::-1])).photos
    assert (photo.photo.source, photo.photo.identity, photo.photo.label) == ("folder", "Ann", "mug")
    assert photo.also_at == ((tmp_path / "b" / "Ben" / "b.png").as_uri(),)


def test_a_source_without_photos_is_named(album: Album, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    values = config.chosen_sources(
        sources=[f"folder:{album.folder / 'photos'}", f"folder:{tmp_path / 'empty'}"]
    )
    with pytest.raises(SourceError, match="source folder-empty: there is no photo in"):
        scan(config.load("photos", **values))
    with pytest.raises(ConfigError, match="a source of kind coco needs a path"):
        scan(config.load("photos", **config.chosen_sources(sources=["coco:"])))


def test_a_name_of_ones_own_keeps_results(three: Sources, store: Store, tmp_path: Path) -> None:
    """The owner's words and kept results depend on what a source is, not on what it is called."""
    shutil.copytree(store.location, tmp_path / "store")
    result = build(three.settings("sources.folder.name=family"), Store.open(tmp_path / "store"))
    assert computed_by(result) == {}
    [found] = rows(Store.open(tmp_path / "store"), "select photos from sources limit 1")
    assert found == {"photos": 10}


def test_a_source_may_not_name_the_server_that_another_trusts(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "_trusted", set())
    with servers.serving(servers.reply(album.file(0).read_bytes())) as url:
        for name in ("mine", "of_a_stranger"):
            table = pa.table({"uri": [f"{url}/{name}.png"]})
            pq.write_table(table, tmp_path / f"{name}.parquet")
        query = "sql:SELECT uri FROM '{}'"
        texts = [query.format(tmp_path / f"{name}.parquet") for name in ("mine", "of_a_stranger")]
        settings = config.load(
            "photos",
            ("sources.0.name=mine", "sources.1.name=stranger", f"sources.0.images={url}/"),
            **config.chosen_sources(sources=texts),
        )
        found = scan(settings)
    assert [s.photo.source for s in found.photos] == ["mine"]
    assert [(r.uri, r.error) for r in found.rejects] == [(f"{url}/of_a_stranger.png", "forbidden")]


def test_identities_of_one_name_in_two_sources_are_said(
    album: Album, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, path in enumerate(("a/7", "b/7", "b/8")):
        (tmp_path / path).mkdir(parents=True)
        shutil.copy(album.file(number), tmp_path / path)
    values = config.chosen_sources(
        sources=[f"folder:{tmp_path / 'a'}", f"folder:{tmp_path / 'b'}"], identity="folder:1"
    )
    scan(config.load("photos", **values))
    assert "several sources count as one (1), as 7 in folder and folder-b" in caplog.text
    caplog.clear()
    own = scan(config.load("photos", ("sources.1.identity_scope=source",), **values))
    assert "several sources" not in caplog.text
    assert {s.photo.identity for s in own.photos} == {"7", "folder-b/7", "folder-b/8"}
    scan(config.load("photos", ("sources.1.identity=none",), **values))
    assert "several sources" not in caplog.text

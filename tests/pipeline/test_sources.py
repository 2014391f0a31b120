"""Several sources in one dataset version: what each photo and each row came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from repic import config
from repic.pipeline.catalog import connect
from storage.store import Store
from tests.builds import Album, build

Main = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Sources:
    """A folder of photos, a COCO file with boxes of other photos, and generated photos."""

    family: Path
    coco: Path
    world: Path
    overrides: tuple[str, ...]

    @classmethod
    def make(cls, folder: Path, album: Album) -> Sources:
        """The album, divided; a folder for each identity."""
        alone = [e for e in album.entries if len(e["objects"]) == 1]
        for entry in alone:
            target = folder / "family" / entry["objects"][0]["identity"] / entry["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(album.folder / "photos" / entry["file"], target)
        names = {entry["file"] for entry in alone}
        data = json.loads((album.folder / "instances.json").read_text())
        data["images"] = [image for image in data["images"] if image["file_name"] not in names]
        listed = {image["id"] for image in data["images"]}
        data["annotations"] = [a for a in data["annotations"] if a["image_id"] in listed]
        (folder / "set").mkdir()
        for image in data["images"]:
            shutil.copy(album.folder / "photos" / image["file_name"], folder / "set")
        (folder / "set" / "instances.json").write_text(json.dumps(data))
        overrides = (
            *("detector.kind=yolo", "detector.checkpoint=sample", "detector.image_size=160"),
            *(f"encoder.pretrained={album.encoder}", "encoder.view=crop", "runtime.threads=1"),
            *("sources.sample.count=10", "sources.sample.identities=3", "sources.sample.size=96"),
        )
        return cls(folder / "family", folder / "set" / "instances.json", folder / "w", overrides)

    @property
    def texts(self) -> list[str]:
        return [f"folder:{self.family}", f"coco:{self.coco}", f"sample:{self.world}"]

    @property
    def arguments(self) -> list[str]:
        return [
            *(f"--source={text}" for text in self.texts),
            *(f"--set={change}" for change in self.overrides),
        ]

    def settings(self, *overrides: str) -> config.Settings:
        values = config.chosen_sources(sources=self.texts)
        return config.load("photos", (*self.overrides, *overrides), **values)


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

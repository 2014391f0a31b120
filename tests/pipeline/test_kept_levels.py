"""The level of folders stays as it was when photos are added to a source."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from repic import api, config
from repic.errors import SourceError
from repic.pipeline import kept_levels
from storage.store import Store
from tests.builds import Album

Main = Callable[..., tuple[int, str, str]]


def add(album: Album, root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(album.file(number), root / name)


def built(album: Album, root: Path, store: Path, *overrides: str) -> dict[str, str | None]:
    """Build, and the identity of each photo by its path below the root."""
    version = api.build(root, overrides=(*album.overrides, *overrides), store=store)
    images = next(t for t in version.manifest.inputs if t.name == "images")
    rows = Store.open(store).read(images.ref).to_pylist()
    return {row["uri"].removeprefix(f"{root.as_uri()}/"): row["identity"] for row in rows}


def test_photos_that_are_added_later_ask_no_question(album: Album, tmp_path: Path) -> None:
    root, store = tmp_path / "photos", tmp_path / "store"
    add(album, root, "ann/1.jpg", "ben/2.jpg")
    assert built(album, root, store) == {"ann/1.jpg": "ann", "ben/2.jpg": "ben"}
    add(album, root, "ann/1.jpg", "ben/2.jpg", "ann/sea/3.jpg", "ben/sea/4.jpg", "ben/sea/5.jpg")
    with pytest.raises(SourceError, match="--identity folder:2"):
        built(album, root, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    names = built(album, root, store)
    assert names["ben/sea/4.jpg"] == "ben"
    assert set(names.values()) == {"ann", "ben"}


def test_a_level_that_was_given_once_is_kept_for_its_folder(album: Album, tmp_path: Path) -> None:
    root, store = tmp_path / "photos", tmp_path / "store"
    add(album, root, "ann/sea/1.jpg", "ann/home/2.jpg")
    assert set(built(album, root, store, "source.identity=folder:2").values()) == {"sea", "home"}

    def level(path: object, **source: str) -> str:
        settings = config.load("photos", source={"path": str(path), **source})
        return kept_levels.keep_level(settings, Store.open(store)).sources[0].identity

    assert level(root) == level(f"{root}/") == level(root.as_uri()) == "folder:2"
    assert level(root, identity="folder:1") == "folder:1"
    assert level(root, identity="none") == "none"
    assert level(tmp_path / "other") == "folder"
    assert level(root, kind="library") == "folder"


def test_a_store_of_an_earlier_version_keeps_the_first_level(album: Album) -> None:
    settings = config.load("photos", album.overrides, **config.chosen_sources("x"))
    record = settings.record(config.BUILD)
    assert config.from_record(record).sources[0].identity == "folder:1"
    new = config.as_recorded(settings).record(config.BUILD)
    assert config.from_record(new).sources[0].identity == "folder:named"
    coco = config.load("photos", source={"kind": "coco", "path": "x"}).record(config.BUILD)
    assert config.from_record(coco).sources[0].identity == "folder"


def test_a_record_without_a_level_means_the_first(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, store = tmp_path / "photos", tmp_path / "store"
    add(album, root, "train/ann/1.jpg", "val/ben/2.jpg")
    with monkeypatch.context() as earlier:
        earlier.setattr(config.SourceSettings, "with_level", lambda self, level: self)
        built(album, root, store, "source.identity=folder")
    assert set(built(album, root, store).values()) == {"train", "val"}
    kept = kept_levels.keep_level(
        config.load("photos", **config.chosen_sources(root.as_uri())), Store.open(store)
    )
    assert kept.sources[0].identity == "folder:1"


def test_the_command_shows_the_choices_and_takes_one(
    album: Album, tmp_path: Path, repic_main: Main
) -> None:
    root = tmp_path / "photos"
    add(album, root, "ann/sea/1.jpg", "ben/sea/2.jpg")
    arguments = (
        *("build", f"--images={root}", f"--store={tmp_path / 'store'}"),
        *(f"--set={override}" for override in album.overrides),
    )
    code, out, err = repic_main(*arguments)
    assert code == 2
    assert "  --identity folder:2  # 1 identity: sea (2)" in err
    assert "probes" not in err
    code, out, err = repic_main(*arguments, "--identity", "folder:1", "--json")
    assert code == 0, err
    assert json.loads(out)["rows"]["images"] == 2
    code, _, err = repic_main(*arguments, "--identity", "folders")
    assert code == 2
    assert "folder:LEVEL" in err

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from repic import config
from repic.errors import SourceError
from repic.images import uris
from repic.images.decode import open_image
from repic.sources import photos
from repic.sources.base import SourcePhoto


def _save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), "red").save(path, "JPEG")
    return path


def _photos(path: object, **settings: object) -> list[SourcePhoto]:
    chosen = config.SourceSettings.model_validate({"path": str(path), **settings})
    return list(photos(chosen, config.SplitSettings()))


def test_the_first_folder_is_the_identity(tmp_path: Path) -> None:
    for name in ("loose.jpg", "rex/1.jpg", "rex/walks/2.jpg", "ada/3.jpg"):
        _save(tmp_path / name)
    listed = {Path(uris.file_path(p.uri)).name: p.identity for p in _photos(tmp_path)}
    assert listed == {"loose.jpg": None, "1.jpg": "rex", "2.jpg": "rex", "3.jpg": "ada"}
    assert {p.identity for p in _photos(tmp_path, identity="none")} == {None}


def test_photos_come_sorted_with_the_licence_of_the_settings(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "a.jpg", "b/10.jpg", "Z.jpg", "ä.jpg"):
        _save(tmp_path / name)
    listed = _photos(tmp_path, licence="CC0")
    assert [p.uri for p in listed] == sorted(p.uri for p in listed)
    assert len(listed) == 5
    assert {(p.source, p.licence) for p in listed} == {("folder", "CC0")}
    assert all(p.uri.startswith("file:///") for p in listed)


def test_what_is_no_photo_is_left_alone(tmp_path: Path) -> None:
    _save(tmp_path / "a" / "photo.jpg")
    _save(tmp_path / "a" / "disguised.dat")
    _save(tmp_path / "a" / "nothing")
    for name in ("a/notes.txt", "a/x.json", "a/.DS_Store", "a/Thumbs.db", "a/empty"):
        (tmp_path / name).write_text("" if name.endswith("empty") else "{}")
    for name in (".hidden/1.jpg", "a/._photo.jpg", "__MACOSX/1.jpg", "$RECYCLE.BIN/1.jpg"):
        _save(tmp_path / name)
    names = {Path(uris.file_path(p.uri)).name for p in _photos(tmp_path)}
    assert names == {"photo.jpg", "disguised.dat", "nothing"}


def test_broken_photos_are_yielded(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "dangling.png").symlink_to("nowhere")
    (tmp_path / "dangling.txt").symlink_to("nowhere")
    _save(tmp_path / "folder.jpg" / "inside.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    names = {Path(uris.file_path(p.uri)).name for p in _photos(tmp_path)}
    assert names == {
        *("empty.jpg", "loop.jpg", "dangling.png", "folder.jpg", "inside.jpg", "pipe.jpg")
    }


def test_links_are_followed_once(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    _save(root / "z" / "1.jpg")
    _save(elsewhere / "2.jpg")
    (root / "z" / "up").symlink_to(root)
    (root / "a").symlink_to(root / "z")
    (root / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    listed = {uris.file_path(p.uri): p.identity for p in _photos(root)}
    assert listed == {str(root / "z/1.jpg"): "z", str(root / "linked/2.jpg"): "linked"}


def test_a_linked_root_keeps_its_own_name(tmp_path: Path) -> None:
    _save(tmp_path / "real" / "1.jpg")
    (tmp_path / "link").symlink_to("real")
    assert [uris.file_path(p.uri) for p in _photos(tmp_path / "link")] == [
        str(tmp_path / "link" / "1.jpg")
    ]


def test_names_that_are_no_utf8_become_text(tmp_path: Path) -> None:
    _save(tmp_path / os.fsdecode(b"caf\xe9") / "1.jpg")
    (photo,) = _photos(tmp_path)
    assert photo.identity == "caf\\xe9"
    assert os.path.exists(uris.file_path(photo.uri))


def test_relative_and_home_paths_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _save(tmp_path / "photos" / "1.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = [uris.file_uri(tmp_path / "photos" / "1.jpg")]
    for path in ("photos", "./photos/", "~/photos", uris.file_uri(tmp_path / "photos")):
        assert [p.uri for p in _photos(path)] == expected


def test_a_remote_folder_is_read_the_same_way(tmp_path: Path) -> None:
    data = _save(tmp_path / "1.jpg").read_bytes()
    memory = fsspec.filesystem("memory")
    for name in ("rex/1.jpg", "rex/50% #2.jpg", "rex/noname", "rex/.x.jpg", "top.jpg"):
        memory.pipe(f"/remote/{name}", data)
    memory.pipe("/remote/notes.txt", b"no photo")
    listed = {p.uri: p.identity for p in _photos("memory://remote")}
    assert listed == {
        "memory:///remote/rex/1.jpg": "rex",
        "memory:///remote/rex/50%25 %232.jpg": "rex",
        "memory:///remote/rex/noname": "rex",
        "memory:///remote/top.jpg": None,
    }
    assert {open_image(uri).size for uri in listed} == {(20, 20)}


@pytest.mark.parametrize("path", ["nosuch://a", "ftp://127.0.0.1:9/a", "zip://a::file:///x.zip"])
def test_an_address_from_which_no_photo_is_read_is_refused_at_once(path: str) -> None:
    with pytest.raises(SourceError, match=r"one of abfs, .*, s3a .*source\.path"):
        _photos(path)
    with pytest.raises(SourceError, match="names no folder"):
        _photos("s3://")


def test_a_folder_that_is_missing_empty_or_a_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no folder .*gone.*source\.path"):
        _photos(tmp_path / "gone")
    with pytest.raises(SourceError, match=r"no photo in .*source\.path"):
        _photos(tmp_path)
    with pytest.raises(SourceError, match="is a file; give its folder"):
        _photos(_save(tmp_path / "1.jpg"))
    with pytest.raises(SourceError, match="no folder memory://nothing"):
        _photos("memory://nothing")


def test_many_folders_are_all_read(tmp_path: Path) -> None:
    for folder in range(100):
        (tmp_path / str(folder)).mkdir()
        for number in range(30):
            (tmp_path / str(folder) / f"{number}.jpg").touch()
    assert len(_photos(tmp_path)) == 3000

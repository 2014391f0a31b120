"""Names that people gave in photo libraries are read, each on its own box, and no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from repic import config, sources
from repic.errors import ConfigError, SourceError
from repic.images import decode
from repic.images.coordinates import Box, upright
from repic.sources.base import SourcePhoto
from tests.sources.libraries import (
    Corners,
    color_of,
    digikam,
    draw,
    lightroom,
    picasa,
    save,
    stored_corners,
    takeout,
)

PEOPLE = ["Ann Lee", "Zoé", "Bob", "Chris"]
PLACES: list[Corners] = [(0.1, 0.2, 0.3, 0.5), (0.6, 0.1, 0.9, 0.4), (0.4, 0.6, 0.7, 0.9)]
SIZE = (400, 300)


def _photos(folder: Path, identity: str = "annotation") -> list[SourcePhoto]:
    settings = config.load(
        "photos", [f"source.identity={identity}"], source={"kind": "library", "path": str(folder)}
    )
    return list(sources.photos(settings.sources[0], settings.splits))


def _colors(photo: SourcePhoto) -> dict[str, tuple[int, int, int]]:
    """Name -> color in the middle of its box, which says who is really there."""
    picture = np.asarray(decode.open_image(photo.uri))
    found = {}
    for annotation in photo.annotations:
        if annotation.identity:
            box = annotation.box
            x, y = round((box.x1 + box.x2) / 2), round((box.y1 + box.y2) / 2)
            found[annotation.identity] = tuple(int(v) for v in picture[y, x])
    return found


def _same(color: tuple[int, int, int], name: str) -> bool:
    return max(abs(a - b) for a, b in zip(color, color_of(name), strict=True)) < 12


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """40 photos of four writers in all orientations, and the people on each."""
    root = tmp_path_factory.mktemp("library")
    truth = {}
    writers: list[Callable[..., bytes]] = [digikam, lightroom, picasa]
    for number in range(40):
        orientation, writer = number % 8 + 1, (number // 8) % 5
        count = 1 + number % 3
        people = [PEOPLE[(number + k) % 4] for k in range(count)]
        if writer == 4:
            people = people[:1]
        named = list(zip(people, PLACES, strict=False))
        stranger = [("a stranger", (0.75, 0.7, 0.95, 0.95))]
        picture = draw([*named, *stranger], SIZE, 60 + 4 * number)
        path = root / f"album {number % 2}" / f"photo {number}.jpg"
        path.parent.mkdir(exist_ok=True)
        stored = SIZE if orientation < 5 else SIZE[::-1]
        regions = [(name, stored_corners(place, orientation)) for name, place in named]
        regions.append((None, stored_corners(stranger[0][1], orientation)))
        packet = writers[writer % 3](regions, stored)
        save(picture, path, orientation, packet if writer < 2 else None)
        if writer == 2:
            path.with_suffix(".xmp").write_bytes(packet)
        elif writer == 3:
            path.with_name(f"{path.name}.xmp").write_bytes(packet)
        elif writer == 4:
            takeout(path, people)
        truth[path.name] = people
    return root, truth


def test_every_name_is_on_its_own_box(library: tuple[Path, dict[str, list[str]]]) -> None:
    root, truth = library
    photos = _photos(root)
    assert len(photos) == 40
    for photo in photos:
        people = truth[Path(photo.uri.replace("%20", " ")).name]
        if photo.annotations:
            colors = _colors(photo)
            assert set(colors) == set(people)
            assert all(_same(color, name) for name, color in colors.items()), photo.uri
            assert sum(a.identity is None for a in photo.annotations) == 1  # the stranger
            assert photo.identity is None
        else:
            assert photo.identity == people[0]


def test_names_are_used_only_if_asked_for(library: tuple[Path, dict[str, list[str]]]) -> None:
    photos = _photos(library[0], identity="none")
    assert {photo.identity for photo in photos} == {None}
    assert {a.identity for photo in photos for a in photo.annotations} == {None}


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_that_exiftool_writes_are_read(tmp_path: Path, orientation: int) -> None:
    people = list(zip(PEOPLE[:2], PLACES, strict=False))
    path = tmp_path / "photo.jpg"
    save(draw(people, SIZE, 90), path, orientation)
    width, height = SIZE if orientation < 5 else SIZE[::-1]
    listed = []
    for name, place in people:
        x1, y1, x2, y2 = stored_corners(place, orientation)
        listed.append(
            f"{{Area={{X={(x1 + x2) / 2},Y={(y1 + y2) / 2},W={x2 - x1},H={y2 - y1},"
            f"Unit=normalized}},Name={name},Type=Face}}"
        )
    size = f"AppliedToDimensions={{W={width},H={height},Unit=pixel}}"
    regions = f"{{{size},RegionList=[{','.join(listed)}]}}"
    command = ["exiftool", "-q", "-overwrite_original", f"-XMP-mwg-rs:RegionInfo={regions}", path]
    subprocess.run(command, check=True, timeout=300)
    (photo,) = _photos(tmp_path)
    colors = _colors(photo)
    assert set(colors) == {name for name, _ in people}
    assert all(_same(color, name) for name, color in colors.items())


def test_regions_drawn_on_the_shown_photo_are_not_turned_again(tmp_path: Path) -> None:
    people = [("Ann Lee", PLACES[0])]
    save(draw(people, SIZE, 90), tmp_path / "a.jpg", 6, digikam(people, SIZE))
    (photo,) = _photos(tmp_path)
    assert all(_same(color, name) for name, color in _colors(photo).items())


def test_regions_of_another_crop_are_left_out(tmp_path: Path, caplog) -> None:
    save(draw([], SIZE, 90), tmp_path / "a.jpg", 1, digikam([("Ann", PLACES[0])], (400, 400)))
    (photo,) = _photos(tmp_path)
    assert photo.annotations == ()
    assert "cropped" in caplog.text


def test_a_sidecar_goes_before_the_file(tmp_path: Path) -> None:
    save(draw([], SIZE, 90), tmp_path / "a.jpg", 1, digikam([("Old", PLACES[0])], SIZE))
    (tmp_path / "a.jpg.xmp").write_bytes(digikam([("New", PLACES[0])], SIZE, caption="In May."))
    (photo,) = _photos(tmp_path)
    assert [a.identity for a in photo.annotations] == ["New"]
    assert (photo.caption, photo.licence) == ("In May.", "CC BY 4.0")


def test_where_several_people_are_is_not_guessed(tmp_path: Path, caplog) -> None:
    save(draw([], SIZE, 90), tmp_path / "a.jpg", 1)
    takeout(tmp_path / "a.jpg", ["Ann", "Bob"])
    (photo,) = _photos(tmp_path)
    assert photo.identity is None
    assert "unknown places" in caplog.text


CUT = "IMG_20190101_123456_and_more.jpg"
LONG = "a_photo_with_a_very_long_name_that_is_cut_by_takeout.jpg"


@pytest.mark.parametrize(
    ("photo", "json_name", "same"),
    [
        ("a.jpg", "a.jpg.json", True),
        ("a.jpg", "a.jpg.supplemental-metadata.json", True),
        ("a.jpg", "a.json", True),
        ("a(1).jpg", "a.jpg(1).json", True),
        ("a(1).jpg", "a.jpg.supplemental-metadata(1).json", True),
        ("a(1).jpg", "a.jpg.supplemental-metadata.json", False),
        ("a.jpg", "a.jpg.supplemental-metadata(1).json", False),
        ("a-edited.jpg", "a.jpg.supplemental-metadata.json", True),
        ("a-edited(1).jpg", "a.jpg.supplemental-metadata(1).json", True),
        (LONG, f"{LONG[:46]}.json", True),
        (CUT, f"{CUT}.supplemental-metadata"[:46] + ".json", True),
        ("b.jpg", "a.jpg.supplemental-metadata.json", False),
    ],
)
def test_takeout_files_belong_to_their_photos(
    tmp_path: Path, photo: str, json_name: str, same: bool
) -> None:
    save(draw([], SIZE, 90), tmp_path / photo, 1)
    takeout(tmp_path / photo, ["Ann"], json_name)
    (found,) = _photos(tmp_path)
    assert (found.identity == "Ann") is same


@pytest.mark.parametrize(
    "text", ["", "[", "[]", '{"title": 3}', '{"title": "a.jpg", "people": 7}', "[" * 200_000]
)
def test_broken_takeout_files_name_nobody(tmp_path: Path, text: str) -> None:
    save(draw([], SIZE, 90), tmp_path / "a.jpg", 1)
    (tmp_path / "a.jpg.json").write_text(text)
    (photo,) = _photos(tmp_path)
    assert photo.identity is None


@pytest.mark.parametrize("data", [b"", b"<x", b"\0\1", b"<!DOCTYPE x><x/>"])
def test_broken_sidecars_do_not_hide_the_photo(tmp_path: Path, data: bytes, caplog) -> None:
    save(draw([], SIZE, 90), tmp_path / "a.jpg", 1)
    (tmp_path / "a.xmp").write_bytes(data)
    (photo,) = _photos(tmp_path)
    assert photo.annotations == ()
    assert "sidecar files that cannot be read" in caplog.text


def test_pipes_beside_photos_are_not_waited_for(tmp_path: Path, caplog) -> None:
    save(draw([], SIZE, 90), tmp_path / "a.jpg", 1)
    os.mkfifo(tmp_path / "a.jpg.xmp")
    os.mkfifo(tmp_path / "a.jpg.json")
    assert len(_photos(tmp_path)) == 1
    assert "1 JSON files that cannot be read" in caplog.text
    assert "1 sidecar files that cannot be read" in caplog.text


def test_a_broken_photo_is_left_to_the_stage_that_opens_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    (tmp_path / "a.jpg.xmp").write_bytes(digikam([("Ann", PLACES[0])], SIZE))
    (photo,) = _photos(tmp_path)
    assert photo.annotations == ()


def test_a_library_is_local() -> None:
    settings = config.load("photos", source={"kind": "library", "path": "s3://bucket/photos"})
    with pytest.raises(SourceError, match="local disk"):
        list(sources.photos(settings.sources[0], settings.splits))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_turns_as_the_pixels_do(orientation: int) -> None:
    corners = (0.1, 0.2, 0.4, 0.9)
    stored = stored_corners(corners, orientation)
    width, height = (200, 100) if orientation < 5 else (100, 200)
    x1, y1, x2, y2 = stored
    pixels = Box(x1 * width, y1 * height, x2 * width, y2 * height)
    shown = upright(pixels, width, height, orientation)
    assert shown.as_list() == pytest.approx([20, 20, 80, 90])


def _album(folder: Path, title: str | None, name: str = "metadata.json") -> None:
    save(draw([], SIZE, 90), folder / "a.jpg", 1)
    (folder / "a.jpg.json").write_text(json.dumps({"title": "a.jpg", "photoTakenTime": {}}))
    if title is not None:
        content = {"title": title, "description": "", "access": "protected", "date": {}}
        (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("folder", "title", "album"),
    [
        ("Rex", "Rex", "Rex"),
        ("Rex_ our dog", "Rex: our dog", "Rex: our dog"),
        ("Photos from 2020", None, None),
        ("Photos from 2020", "Photos from 2020", None),
        ("Fotos von 2020", "Fotos von 2020", None),
        ("2019-05-17", "2019-05-17", None),
        ("Archive", "Archive", None),
        ("Untitled(1)", "", None),
        ("Paris 2020", "Paris 2020", "Paris 2020"),
    ],
)
def test_albums_of_takeout_are_identities_on_request(
    tmp_path: Path, folder: str, title: str | None, album: str | None
) -> None:
    (tmp_path / folder).mkdir()
    _album(tmp_path / folder, title, "Metadaten.json")
    for identity, expected in (("album", album), ("annotation", None), ("folder", None)):
        assert [p.identity for p in _photos(tmp_path, identity)] == [expected]


def test_folders_without_files_of_takeout_are_albums(tmp_path: Path) -> None:
    for folder in ("Rex", "2020/05", "DCIM/100APPLE", "."):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        save(draw([], SIZE, 90), tmp_path / folder / "a.jpg", 1)
    found = {p.uri.removeprefix(tmp_path.as_uri()): p.identity for p in _photos(tmp_path, "album")}
    assert found == {
        "/Rex/a.jpg": "Rex",
        "/2020/05/a.jpg": None,
        "/DCIM/100APPLE/a.jpg": None,
        "/a.jpg": None,
    }


def test_a_folder_with_two_titles_is_no_album(tmp_path: Path) -> None:
    (tmp_path / "Rex").mkdir()
    _album(tmp_path / "Rex", "Rex")
    (tmp_path / "Rex" / "metadata(1).json").write_text(json.dumps({"title": "Bella"}))
    assert [p.identity for p in _photos(tmp_path, "album")] == [None]


def test_albums_belong_to_libraries(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="identity album is for a source of kind library"):
        config.load("photos", ["source.identity=album"], source={"path": str(tmp_path)})

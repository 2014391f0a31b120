"""Photos and boxes of Pascal VOC, and of the tools that write its form."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from repic import config
from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import photos
from repic.sources.base import Annotation, SourcePhoto


def _object(name: str, *corners: object, **fields: object) -> str:
    edges = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=False)
    box = "".join(f"<{edge}>{value}</{edge}>" for edge, value in edges)
    others = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    return f"<object><name>{name}</name><pose>Left</pose>{others}<bndbox>{box}</bndbox></object>"


def _xml(filename: str, *objects: str, size: tuple[object, object] | None = (500, 375)) -> str:
    given = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return (
        f"<annotation><folder>VOC2012</folder><filename>{filename}</filename>"
        f"<source><database>The VOC2012 Database</database></source>{given}"
        f"<segmented>0</segmented>{''.join(objects)}</annotation>"
    )


def _photos(root: Path, **settings: Any) -> dict[str, SourcePhoto]:
    values = {"kind": "voc", "path": str(root), **settings}
    found = photos(config.SourceSettings.model_validate(values), config.SplitSettings())
    return {Path(uris.file_path(photo.uri)).name: photo for photo in found}


DOG = _object("dog", 48, 240, 195, 371, truncated=0, occluded=1, difficult=0)
PERSON = _object("person", "8.5", 12, 352, 498, truncated=1, difficult=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The layout of VOC2012."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    for stem, objects in (("2008_01", (DOG, PERSON)), ("2008_02", ()), ("2008_03", (DOG,))):
        (root / "Annotations" / f"{stem}.xml").write_text(_xml(f"{stem}.jpg", *objects))
        (root / "JPEGImages" / f"{stem}.jpg").write_bytes(b"a photo")
    (root / "JPEGImages" / "2008_04.jpg").write_bytes(b"a photo of no task")
    sets = root / "ImageSets" / "Main"
    (sets / "train.txt").write_text("2008_01\n2008_03\n")
    (sets / "val.txt").write_text("2008_02\n")
    (sets / "test.txt").write_text("2008_03\n2008_04\n")
    (sets / "trainval.txt").write_text("2008_01\n2008_02\n")
    (sets / "dog_train.txt").write_text("2008_02 -1\n2008_01  1\n")
    return root


def test_pixels_count_from_1_and_include_the_last(root: Path) -> None:
    one = _photos(root)["2008_01.jpg"]
    assert one.uri == uris.file_uri(root / "JPEGImages" / "2008_01.jpg")
    assert one.drawn_on == (500, 375)
    assert one.annotations == (
        Annotation(Box(47, 239, 195, 371), "dog", truncated=False, occluded=True),
        Annotation(Box(7.5, 11, 352, 375), "person", truncated=True, occluded=True),
    )


def test_splits_are_those_of_main_and_the_strictest_wins(root: Path) -> None:
    expected = {
        "2008_01.jpg": "train",
        "2008_02.jpg": "validation",
        "2008_03.jpg": "test",
        "2008_04.jpg": "test",
    }
    for path in (root, root.parent, root.parent.parent):
        assert {name: photo.split for name, photo in _photos(path).items()} == expected


def test_names_with_dots_keep_their_splits(root: Path) -> None:
    for name in ("a.v1", "a.v2"):
        (root / "Annotations" / f"{name}.xml").write_text(_xml(f"{name}.jpg", DOG))
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(b"a photo")
    (root / "ImageSets" / "Main" / "train.txt").write_text("a.v1\n")
    (root / "ImageSets" / "Main" / "test.txt").write_text("a.v2.JPG\n")
    found = _photos(root)
    assert (found["a.v1.jpg"].split, found["a.v2.jpg"].split) == ("train", "test")


def test_a_name_too_long_for_a_file_is_that_of_no_photo(root: Path) -> None:
    (root / "Annotations" / "2008_01.xml").write_text(_xml(f"{'n' * 300}.jpg", DOG))
    assert len(_photos(root)["2008_01.jpg"].annotations) == 1


def test_xml_beside_photos_in_folders_of_splits(tmp_path: Path) -> None:
    """As Roboflow and LabelImg write it; the photo may have been renamed together with its XML."""
    for part, filename in (("train", "a.jpg"), ("valid", "b.png"), ("test", "old name.jpg")):
        (tmp_path / part).mkdir()
        (tmp_path / part / f"{part}.xml").write_text(_xml(f"C:\\photos\\{filename}", DOG))
        name = f"{part}.jpeg" if part == "test" else filename
        (tmp_path / part / name).write_bytes(b"a photo")
    found = _photos(tmp_path)
    assert {name: photo.split for name, photo in found.items()} == {
        "a.jpg": "train",
        "b.png": "validation",
        "test.jpeg": "test",
    }
    assert all(len(photo.annotations) == 1 for photo in found.values())


def test_identities_of_cvat(root: Path) -> None:
    attributes = "<attribute><name>identity</name><value> Rex </value></attribute>"
    (root / "Annotations" / "2008_02.xml").write_text(
        _xml("2008_02.jpg", _object("dog", 1, 1, 9, 9, attributes=attributes))
    )
    assert _photos(root)["2008_02.jpg"].annotations[0].identity is None
    named = _photos(root, identity="annotation")["2008_02.jpg"].annotations
    assert named == (Annotation(Box(0, 0, 9, 9), "dog", "Rex"),)


BOMB = (
    '<!DOCTYPE a [<!ENTITY b "' + "x" * 1000 + '">'
    '<!ENTITY c "' + "&b;" * 1000 + '">]><annotation><filename>&c;</filename></annotation>'
)
OUTSIDE = (
    '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
    "<annotation><filename>&b;</filename></annotation>"
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1 XML files that cannot be read"),
        ("<annotation><object>", "1 XML files that cannot be read"),
        ("not xml", "1 XML files that cannot be read"),
        ('<?xml version="1.0" encoding="none"?><annotation/>', "1 XML files that cannot be read"),
        (BOMB, "1 XML files that cannot be read"),
        (OUTSIDE, "1 XML files that cannot be read"),
        ("<html/>", "1 XML files of another form"),
    ],
)
def test_a_broken_file_costs_only_its_boxes(
    root: Path, text: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "Annotations" / "2008_02.xml").write_text(text)
    with caplog.at_level(logging.WARNING):
        found = _photos(root)
    assert found["2008_02.jpg"].annotations == ()
    assert found["2008_02.jpg"].split == "validation"
    assert len(found["2008_01.jpg"].annotations) == 2
    assert says in caplog.text


def test_a_broken_object_costs_only_itself(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = (
        _object("dog", 48, 240),
        _object("dog", "x", 240, 195, 371),
        _object("dog", 200, 240, 195, 371),
        _object("dog", 900, 240, 950, 371),
        _object("dog", "nan", 1, 2, 3),
        "<object><name>dog</name></object>",
    )
    (root / "Annotations" / "2008_02.xml").write_text(_xml("2008_02.jpg", *odd, DOG))
    (root / "Annotations" / "2008_03.xml").write_text(
        _xml("../../../secret.jpg", DOG, size=("wide", None))
    )
    with caplog.at_level(logging.WARNING):
        found = _photos(root)
    assert [a.box for a in found["2008_02.jpg"].annotations] == [Box(47, 239, 195, 371)]
    assert "6 objects whose box is malformed or outside" in caplog.text
    assert found["2008_03.jpg"].drawn_on is None
    assert "secret.jpg" not in found


def test_a_folder_without_xml_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        _photos(tmp_path / "nowhere")
    for path in (root / "Annotations").iterdir():
        path.write_text("<html/>")
    with pytest.raises(SourceError, match=r"none of 3 XML files .* 3 XML files of another form"):
        _photos(root)
    shutil.rmtree(root / "Annotations")
    with pytest.raises(SourceError, match="there is no XML file of Pascal VOC"):
        _photos(root)


def test_a_list_of_another_form_is_refused(root: Path) -> None:
    (root / "ImageSets" / "Main" / "val.txt").write_bytes(b"\xff\xfe2\x00")
    with pytest.raises(SourceError, match=r"val\.txt is not UTF-8 text"):
        _photos(root)


def test_photos_may_be_in_images_beside_annotations(tmp_path: Path) -> None:
    for name in ("annotations/a.xml", "images/a.jpg", "images/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(_xml("a.jpg", DOG))
    assert {name: len(p.annotations) for name, p in _photos(tmp_path).items()} == {
        "a.jpg": 1,
        "b.jpg": 0,
    }


def test_a_folder_images_with_xml_beside_its_photos_is_no_folder_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "train"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a photo")
    (folder / "a.xml").write_text(_xml("a.jpg", DOG))
    [photo] = _photos(tmp_path).values()
    assert Path(uris.file_path(photo.uri)) == folder / "a.jpg"

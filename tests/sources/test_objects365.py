"""Objects365 and other data sets whose photos are not where their names say."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from repic import config
from repic.images import uris
from repic.sources import photos
from repic.sources.base import RefusedPhoto, SourcePhoto


def _photos(path: Path, **settings: Any) -> list[SourcePhoto]:
    chosen = config.SourceSettings.model_validate({"kind": "coco", "path": str(path), **settings})
    return list(photos(chosen, config.SplitSettings()))


def _places(found: list[SourcePhoto]) -> list[Path]:
    return [Path(uris.file_path(photo.uri)) for photo in found]


def _json(path: Path, names: list[str], **changes: Any) -> Path:
    """A file in the form of `zhiyuan_objv2_val.json`."""
    images = [
        {"height": 512, "id": 420917 + i, "license": 5, "width": 769, "file_name": n, "url": ""}
        for i, n in enumerate(names)
    ]
    annotations = [
        {
            "id": 51 + i,
            "iscrowd": 0,
            "isfake": 0,
            "area": 1584.63,
            "isreflected": 0,
            "bbox": [491.3955078011, 88.1856689664, 35.65588379410002, 44.442382796800004],
            "image_id": image["id"],
            "category_id": 84,
            **changes,
        }
        for i, image in enumerate(images)
    ]
    value = {
        "images": images,
        "annotations": annotations,
        "categories": [{"name": "Bowl/Basin", "id": 84}],
        "licenses": [{"name": "", "id": 5, "url": ""}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def _file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a photo")
    return path


NAMES = [
    "images/v1/patch8/objects365_v1_00420917.jpg",
    "images/v2/patch16/objects365_v2_00908726.jpg",
]


def test_photos_of_objects365_are_in_their_patches(tmp_path: Path) -> None:
    here = sorted(_file(tmp_path / "val" / "/".join(name.split("/")[2:])) for name in NAMES)
    path = _json(tmp_path / "annotations" / "zhiyuan_objv2_val.json", NAMES)
    found = _photos(path)
    assert _places(found) == here
    assert [a.label for photo in found for a in photo.annotations] == ["Bowl/Basin"] * 2
    assert found[0].drawn_on == (769, 512)
    assert _places(_photos(path, images=str(tmp_path / "val"))) == here


def test_crowds_and_depictions_are_no_objects(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = _json(tmp_path / "a.json", NAMES)
    for flag, said in (("isfake", "2 depictions"), ("iscrowd", "2 crowds")):
        value = json.loads(path.read_text())
        value["annotations"] += [{**a, "id": 90 + a["id"], flag: 1} for a in value["annotations"]]
        (tmp_path / "b.json").write_text(json.dumps(value))
        with caplog.at_level(logging.WARNING):
            found = _photos(tmp_path / "b.json")
        assert [len(photo.annotations) for photo in found] == [1, 1]
        assert said in caplog.text


def test_photos_beside_a_folder_of_annotations(tmp_path: Path) -> None:
    for place in ("val2017", "images/val2017", "images", "."):
        root = tmp_path / place.replace("/", "-")
        photo = _file(root / place / "one.jpg")
        path = _json(root / "annotations" / "instances_val2017.json", ["one.jpg"])
        assert _places(_photos(path)) == [photo]


def test_a_photo_that_is_missing_is_not_taken_from_elsewhere(tmp_path: Path) -> None:
    names = ["a/1.jpg", "b/1.jpg", "b/2.jpg"]
    _file(tmp_path / "a" / "1.jpg")
    _file(tmp_path / "2.jpg")
    found = _photos(_json(tmp_path / "x.json", names))
    assert _places(found) == [tmp_path / name for name in names]


def test_names_that_lead_out_stay_refused(tmp_path: Path) -> None:
    _file(tmp_path / "secret.jpg")
    data = tmp_path / "data"
    _file(data / "v1" / "one.jpg")
    odd = ["x/v1/one.jpg", "x/../../secret.jpg", "../secret.jpg", str(tmp_path / "secret.jpg")]
    by_name = {Path(p.uri).name: p for p in _photos(_json(data / "x.json", odd))}
    assert not isinstance(by_name["one.jpg"], RefusedPhoto)
    assert isinstance(by_name["secret.jpg"], RefusedPhoto)
    file = _json(tmp_path / "notes" / "instances_val.json", ["../val/one.jpg"])
    _file(tmp_path / "val" / "one.jpg")
    assert [type(photo) for photo in _photos(file)] == [RefusedPhoto]


def test_where_nothing_is_found_names_are_kept(tmp_path: Path) -> None:
    path = _json(tmp_path / "annotations" / "instances_val.json", [*NAMES, "a\\b.jpg", "nul\0.jpg"])
    names = [str(place.relative_to(path.parent)) for place in _places(_photos(path))]
    assert sorted(names) == sorted([*NAMES, "a/b.jpg", "nul\0.jpg"])

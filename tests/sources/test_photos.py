"""What holds for the photos of every source: one form of identities, one photo per URI."""

from __future__ import annotations

import json
import logging
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from repic import config
from repic.sources import photos
from repic.sources.base import SourcePhoto


def _photos(**settings: object) -> list[SourcePhoto]:
    return list(photos(config.SourceSettings.model_validate(settings), config.SplitSettings()))


def _save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), "red").save(path, "JPEG")


def test_an_identity_has_one_unicode_form_and_single_spaces(tmp_path: Path) -> None:
    for number, form in enumerate(("NFC", "NFD")):
        _save(tmp_path / unicodedata.normalize(form, "Zoé") / f"{number}.jpg")
    _save(tmp_path / "Ann" / "a.jpg")
    _save(tmp_path / "Ann " / "b.jpg")
    identities = [photo.identity for photo in _photos(path=str(tmp_path))]
    assert sorted(map(str, identities)) == ["Ann", "Ann", "Zoé", "Zoé"]


def test_identities_that_differ_in_case_stay_apart_and_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("Ann", "ann", "Bob"):
        _save(tmp_path / name / "a.jpg")
    with caplog.at_level(logging.WARNING):
        assert len({photo.identity for photo in _photos(path=str(tmp_path))}) == 3
    assert "upper and lower case only stay apart (1), as Ann and ann" in caplog.text


def test_a_photo_that_is_listed_twice_keeps_all_of_its_objects(tmp_path: Path) -> None:
    _save(tmp_path / "a.jpg")
    file = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 20, "height": 20},
            {"id": 2, "file_name": "./a.jpg", "width": 20, "height": 20},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5]},
            {"id": 2, "image_id": 2, "category_id": 7, "bbox": [8, 8, 5, 5]},
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [1, 1, 5, 5]},
        ],
        "categories": [{"id": 7, "name": "dog"}],
    }
    for name in ("a.jpg", "./a.jpg"):
        file["images"][1]["file_name"] = name
        (tmp_path / "x.json").write_text(json.dumps(file))
        (photo,) = _photos(kind="coco", path=str(tmp_path / "x.json"))
        assert len(photo.annotations) == 2


@pytest.mark.parametrize("unlabelled", [None, float("nan")], ids=["null", "nan"])
def test_a_row_without_a_label_has_no_identity(tmp_path: Path, unlabelled: float | None) -> None:
    data = (tmp_path / "a.jpg", tmp_path / "b.jpg")
    for path in data:
        _save(path)
    table = pa.table(
        {
            "image": pa.array([path.read_bytes() for path in data], pa.binary()),
            "who": pa.array([3.0, unlabelled], pa.float64(), from_pandas=False),
        }
    )
    pq.write_table(table, tmp_path / "train.parquet")
    found = _photos(kind="hf", path=str(tmp_path / "train.parquet"), identity_column="who")
    assert [photo.identity for photo in found] == ["3.0", None]


def test_two_entries_that_disagree_give_no_identity(tmp_path: Path) -> None:
    _save(tmp_path / "a.jpg")
    rows = [{"image": "a.jpg", "who": who, "text": text} for who, text in (("A", "x"), ("B", "y"))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    (photo,) = _photos(
        kind="hf",
        path=str(tmp_path / "train.parquet"),
        images=str(tmp_path),
        identity_column="who",
        caption_column="text",
    )
    assert (photo.identity, photo.caption) == (None, "x")


def test_texts_that_no_table_can_store_are_escaped(tmp_path: Path) -> None:
    _save(tmp_path / "a.jpg")
    (tmp_path / "a.json").write_text(json.dumps({"caption": "Half \ud800 a pair."}))
    rows = [
        {"uri": "a.jpg", "label": "dog \ud800", "identity": "Rex \ud800", "licence": "\ud800"},
        {"uri": "a.jpg", "label": "cat \ud800", "box": [1, 1, 5, 5]},
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (photo,) = _photos(path=str(tmp_path))
    assert photo.caption == "Half \\ud800 a pair."
    assert (photo.identity, photo.licence) == ("Rex \\ud800", "\\ud800")
    assert [a.label for a in photo.annotations] == ["cat \\ud800"]


def test_a_photo_that_is_listed_twice_keeps_the_size_of_either_entry(tmp_path: Path) -> None:
    _save(tmp_path / "a.jpg")
    images = [
        {"id": 1, "file_name": "a.jpg"},
        {"id": 2, "file_name": "a.jpg", "width": 20, "height": 10},
    ]
    box = {"id": 1, "image_id": 2, "category_id": 1, "bbox": [1, 1, 5, 5]}
    categories = [{"id": 1, "name": "dog"}]
    file = {"images": images, "categories": categories, "annotations": [box]}
    (tmp_path / "x.json").write_text(json.dumps(file))
    (photo,) = _photos(kind="coco", path=str(tmp_path / "x.json"))
    assert photo.drawn_on == (20, 10)
    assert len(photo.annotations) == 1

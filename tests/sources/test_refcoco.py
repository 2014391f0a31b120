"""RefCOCO and its kin in their published layout, with their own splits."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from repic import config
from repic.errors import SourceError
from repic.images import uris
from repic.sources import photos
from repic.sources.base import SourcePhoto, split_named, strictest

NAMES = {number: f"COCO_train2014_{number:012d}.jpg" for number in range(1, 7)}


def _instances(numbers: list[int]) -> dict[str, Any]:
    """Two objects in each photo: a person on the left, a dog on the right."""
    return {
        "info": {},
        "licenses": [{"id": 4, "name": "CC BY 2.0"}],
        "images": [
            {"id": n, "file_name": NAMES[n], "width": 100, "height": 80, "license": 4}
            for n in numbers
        ],
        "annotations": [
            {
                "id": 10 * n + side,
                "image_id": n,
                "category_id": side + 1,
                "bbox": [50 * side, 10, 40, 60],
                "iscrowd": 0,
                "segmentation": [[0, 0, 1, 1, 0, 1]],
            }
            for n in numbers
            for side in (0, 1)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    }


def _ref(number: int, side: int, split: str, *sentences: str, **changes: Any) -> dict[str, Any]:
    return {
        "ref_id": number,
        "ann_id": 10 * number + side,
        "image_id": number,
        "category_id": side + 1,
        "split": split,
        "file_name": NAMES[number].replace(".jpg", "_3.jpg"),
        "sent_ids": list(range(len(sentences))),
        "sentences": [
            {"sent_id": i, "sent": s, "raw": s.title(), "tokens": s.split()}
            for i, s in enumerate(sentences)
        ],
        **changes,
    }


def _write(root: Path, **files: Any) -> Path:
    """Write files, named by their path; pickles by protocol 0, as Python 2 wrote them."""
    (root / "images" / "train2014").mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            pickle.dumps(value, 0) if path.suffix == ".p" else json.dumps(value).encode()
        )
    return root


def _photos(root: Path, **settings: Any) -> dict[str, SourcePhoto]:
    chosen = config.SourceSettings.model_validate(
        {"kind": "refcoco", "path": str(root), **settings}
    )
    found = photos(chosen, config.SplitSettings())
    return {Path(uris.file_path(photo.uri)).name: photo for photo in found}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All four, each with a split of its own."""
    return _write(
        tmp_path / "data",
        **{
            "refcoco/instances.json": _instances([1, 2, 3]),
            "refcoco/refs(unc).p": [
                _ref(1, 0, "train", "man left", "left guy"),
                _ref(2, 0, "val", "woman"),
                _ref(3, 1, "testA", "the dog"),
            ],
            "refcoco/refs(google).p": [_ref(1, 0, "train", "man left", "the man in blue")],
            "refcoco+/instances.json": _instances([1, 2]),
            "refcoco+/refs(unc).p": [_ref(2, 1, "testB", "brown dog"), _ref(1, 1, "train", "dog")],
            "refcocog/instances.json": _instances([4, 5]),
            "refcocog/refs(umd).p": [_ref(4, 0, "train", "a man"), _ref(5, 0, "val", "a woman")],
            "refcocog/refs(google).p": [_ref(4, 1, "val", "a dog that sits")],
            "grefcoco/grefs(unc).json": [
                _ref(1, 0, "train", "the one person", ann_id=[10]),
                _ref(1, 0, "train", "both of them", ann_id=[10, 11]),
                _ref(1, 0, "train", "the cat", ann_id=[-1]),
                _ref(5, 0, "test", "nobody", ann_id=[]),
            ],
            "refclef/refs(unc).p": "not read",
        },
    )


def test_an_object_has_the_expressions_of_all_files(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = _photos(root)
    assert found.keys() == {NAMES[n] for n in range(1, 6)}
    person, dog = found[NAMES[1]].annotations
    assert person.box.as_list() == [0, 10, 40, 70]
    assert person.label == "person"
    assert sorted(person.expressions) == [
        "left guy",
        "man left",
        "the man in blue",
        "the one person",
    ]
    assert dog.expressions == ("dog",)
    assert found[NAMES[1]].licence == "CC BY 2.0"
    assert found[NAMES[1]].drawn_on == (100, 80)
    assert "skipped 1 referring expressions to several objects" in caplog.text
    assert "skipped 2 referring expressions to no object" in caplog.text


def test_a_photo_is_in_the_strictest_split_of_all_files(root: Path) -> None:
    splits = {name: photo.split for name, photo in _photos(root).items()}
    assert splits == {
        NAMES[1]: "train",
        NAMES[2]: "test",  # val of RefCOCO, testB of RefCOCO+
        NAMES[3]: "test",
        NAMES[4]: "validation",  # train of one file, val of the other
        NAMES[5]: "test",  # of an expression to no object
    }


def test_one_of_them_is_read_alone(root: Path) -> None:
    found = _photos(root / "refcoco+")
    assert {name: photo.split for name, photo in found.items()} == {
        NAMES[1]: "train",
        NAMES[2]: "test",
    }
    assert found[NAMES[1]].uri == uris.file_uri(root / "images" / "train2014" / NAMES[1])


def test_photos_are_where_the_setting_says(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    found = _photos(root, images=str(tmp_path / "elsewhere"))
    assert found[NAMES[1]].uri == uris.file_uri(tmp_path / "elsewhere" / NAMES[1])
    (root / "images" / "train2014").rmdir()
    (root / "images").rmdir()
    with pytest.raises(SourceError, match=r"train2014 are not below .*set source\.images"):
        _photos(root)


def test_splits_by_their_names() -> None:
    for names, split in (
        (("test", "testA", "testB", "testa", "testC", "test-dev", "TEST", "Test"), "test"),
        (("val", "validation", "valid", "dev", "val2014", "Validation"), "validation"),
        (("train", "training", "train2014", "restval", "Train"), "train"),
        (("minival", "trainval", "valley", "testimony", "trainVal", "", 5, None), None),
    ):
        assert {split_named(name) for name in names} == {split}
    assert strictest(["train", "validation", None]) == "validation"
    assert strictest([None]) is None


class Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "program": ({"refcoco/refs(unc).p": [Runs()]}, r"would run as a program"),
    "no list": ({"refcoco/refs(unc).p": 5}, "not a list of referring expressions"),
    "no entries": ({"refcoco/refs(unc).p": [5]}, "not a list of referring expressions"),
    "no instances": ({"refcoco/instances.json": []}, "not a COCO file"),
    "no photos": ({"refcoco/instances.json": {"images": 3}}, "not a COCO file"),
    "other photos": (
        {
            "other/instances.json": _instances([1]) | {"images": [{"id": 1, "file_name": "x.jpg"}]},
            "other/refs(unc).p": [],
        },
        "not about the same photos",
    ),
}


@pytest.mark.parametrize(("files", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_another_form_is_refused_in_one_sentence(
    root: Path, files: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(root, **files)
    with pytest.raises(SourceError, match=says):
        _photos(root)
    assert "it ran" not in capsys.readouterr().out


def test_a_cut_pickle_is_refused(root: Path) -> None:
    path = root / "refcoco" / "refs(unc).p"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"refs\(unc\)\.p is not read: it is damaged .* again"):
        _photos(root)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nowhere", "does not exist; give one"),
        ("refcoco/instances.json", "is a file; give its folder"),
        ("images", r"has no refs\(\.\.\.\) files; give the folder"),
        ("grefcoco", "there is no instances.json beside"),
    ],
)
def test_a_folder_without_the_files_is_refused(root: Path, path: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        _photos(root / path)


def test_a_server_is_refused() -> None:
    chosen = config.SourceSettings(kind="refcoco", path="s3://bucket/refcoco")
    with pytest.raises(SourceError, match="from a local disk"):
        photos(chosen, config.SplitSettings())


def test_broken_entries_cost_only_themselves(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    refs = [
        _ref(1, 0, "minitrain", "of an unknown split"),
        _ref(1, 0, "train", image_id=[1]),
        _ref(1, 0, "train", "nowhere", ann_id=99),
        _ref(1, 0, "train", "many", ann_id=[[10]]),
        _ref(1, 0, "train", sentences=[5, None, {"sent": 6}]),
        {},
        _ref(1, 1, "train", "the good one"),
    ]
    with caplog.at_level(logging.WARNING):
        found = _photos(_write(root, **{"refcoco/refs(unc).p": refs}))
    assert "the good one" in found[NAMES[1]].annotations[1].expressions
    assert found[NAMES[1]].split == "train"
    for reason in (
        "1 referring expressions of an unknown split",
        "4 referring expressions without an annotation",
        "1 referring expressions without a sentence",
    ):
        assert reason in caplog.text

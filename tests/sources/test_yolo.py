"""Photos and boxes of YOLO."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from repic import config
from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.pipeline.stages.images import _fit
from repic.sources import photos
from repic.sources.base import SHARES, SourcePhoto


def _photos(path: Path, **settings: Any) -> dict[str, SourcePhoto]:
    values = {"kind": "yolo", "path": str(path), **settings}
    found = photos(config.SourceSettings.model_validate(values), config.SplitSettings())
    return {Path(uris.file_path(photo.uri)).name: photo for photo in found}


def _written(root: Path, labels: dict[str, str | None], **data: Any) -> Path:
    """Photos `images/PART/NAME.jpg` with labels, by `PART/NAME`; data.yaml."""
    for name, text in labels.items():
        photo = root / "images" / f"{name}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20)).save(photo)
        if text is not None:
            file = root / "labels" / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    values = {"train": "images/train", "val": "images/val", "names": ["dog", "cat"], **data}
    (root / "data.yaml").write_text(yaml.safe_dump(values))
    return root


LABELS: dict[str, str | None] = {
    "train/a": "0 0.5 0.5 0.5 0.5\n1 0.1 0.1 0.3 0.1 0.3 0.5\n",
    "train/b": "",
    "val/c": "1 0.25 0.5 0.5 1\n",
    "test/d": None,
}


def _boxes(photo: SourcePhoto) -> list[tuple[str, list[float]]]:
    return [(a.label, pytest.approx(a.box.as_list())) for a in photo.annotations]


@pytest.mark.parametrize("names", [["dog", "cat"], {0: "dog", 1: "cat"}, {"0": "dog", "1": "cat"}])
def test_boxes_are_shares_and_outlines_become_boxes(tmp_path: Path, names: Any) -> None:
    root = _written(tmp_path, LABELS, test="images/test", names=names)
    for path in (root, root / "data.yaml"):
        found = _photos(path)
        assert found.keys() == {"a.jpg", "b.jpg", "c.jpg", "d.jpg"}
        assert _boxes(found["a.jpg"]) == [
            ("dog", [0.25, 0.25, 0.75, 0.75]),
            ("cat", [0.1, 0.1, 0.3, 0.5]),
        ]
        assert _boxes(found["c.jpg"]) == [("cat", [0, 0, 0.5, 1])]
        assert {name: photo.split for name, photo in found.items()} == {
            "a.jpg": "train",
            "b.jpg": "train",
            "c.jpg": "validation",
            "d.jpg": "test",
        }


@pytest.mark.parametrize("orientation", [1, 6])
def test_shares_are_of_the_upright_photo(tmp_path: Path, orientation: int) -> None:
    photo = _photos(_written(tmp_path, LABELS))["a.jpg"]
    assert photo.drawn_on == SHARES
    fit = _fit(photo, {"width": 40, "height": 20, "orientation": orientation})
    assert fit is not None
    assert fit(photo.annotations[0].box) == Box(10, 5, 30, 15)


def test_lists_of_photos_and_several_folders(tmp_path: Path) -> None:
    root = _written(tmp_path, LABELS, train=["images/train", "more.txt"], val="val.txt")
    (root / "more.txt").write_text("./images/test/d.jpg\n\nimages/gone.jpg\n")
    (root / "val.txt").write_text(f"{root}/images/val/c.jpg\n../../secret.jpg\nimages/train/b.jpg")
    found = _photos(root)
    assert {name: photo.split for name, photo in found.items()} == {
        "a.jpg": "train",
        "b.jpg": "validation",
        "c.jpg": "validation",
        "d.jpg": "train",
        "gone.jpg": "train",
        "secret.jpg": "validation",
    }
    assert type(found["secret.jpg"]).__name__ == "RefusedPhoto"


def test_paths_as_roboflow_and_ultralytics_write_them(tmp_path: Path) -> None:
    root = tmp_path / "set"
    _written(root, LABELS, path="/nowhere/on/this/machine", train="../images/train")
    assert _photos(root)["a.jpg"].split == "train"
    _written(root, LABELS, path=".", val=None)
    assert "c.jpg" not in _photos(root)


def test_a_validation_that_is_the_training_set_holds_nothing_back(tmp_path: Path) -> None:
    found = _photos(_written(tmp_path, LABELS, val="images/train"))
    assert {photo.split for photo in found.values()} == {"train"}


def test_links_are_followed_and_folders_above_are_not_renamed(tmp_path: Path) -> None:
    elsewhere = _written(tmp_path / "elsewhere", {"train/a": "0 0.5 0.5 0.5 0.5"})
    root = tmp_path / "images" / "set"
    (root / "pictures").mkdir(parents=True)
    (root / "pictures" / "train").symlink_to(elsewhere / "images" / "train")
    (root / "pictures" / "train" / "a.txt").write_text("1 0.5 0.5 1 1")
    (root / "data.yaml").write_text("train: pictures/train\nnames: [dog, cat]")
    assert _boxes(_photos(root)["a.jpg"]) == [("cat", [0, 0, 1, 1])]


def test_labels_beside_the_photos_and_of_keypoints(tmp_path: Path) -> None:
    root = _written(tmp_path, {}, train="photos", val=None, kpt_shape=[1, 3])
    (root / "photos").mkdir()
    (root / "photos" / "x.jpg").write_bytes(b"a photo")
    (root / "photos" / "x.txt").write_text("0 0.5 0.5 0.5 0.5 0.4 0.4 2\n")
    assert _boxes(_photos(root)["x.jpg"]) == [("dog", [0.25, 0.25, 0.75, 0.75])]


def test_broken_rows_cost_only_themselves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = (
        *("0 0.5 0.5 0.5", "0 0.5 0.5 0.5 0.5 0.9", "x 0.5 0.5 0.5 0.5", "0.5 0.5 0.5 0.5 0.5"),
        *("0 0.5 0.5 nan 0.5", "0 0.5 0.5 0 0.5", "0 320 240 100 80", "0 2 2 0.5 0.5", "0"),
        *("2 0.5 0.5 0.5 0.5", "-1 0.5 0.5 0.5 0.5", "1e400 0.5 0.5 0.5 0.5"),
        *("1 0.5 0.5 0.5 0.5", "1 0.5 0.5 0.5 0.5"),
    )
    root = _written(tmp_path, {"train/a": "\n".join(rows), "train/b": "0 0.5 0.5 1 1", "val/c": ""})
    (root / "labels" / "train" / "b.txt").write_bytes(b"\xff\xfe")
    with caplog.at_level(logging.WARNING):
        found = _photos(root)
    assert _boxes(found["a.jpg"]) == [("cat", [0.25, 0.25, 0.75, 0.75])]
    assert found["b.jpg"].annotations == ()
    for reason in (
        "10 rows of labels that are no class and box",
        "2 rows of labels whose class has no name in data.yaml",
        "1 files of labels that cannot be read",
    ):
        assert reason in caplog.text


BROKEN: dict[str, tuple[str, str]] = {
    "no yaml": ("{", "is not YAML"),
    "program": ("names: !!python/object/apply:os.system [true]\ntrain: x", "is not YAML"),
    "list": ("- train", "is no data.yaml of YOLO"),
    "no parts": ("names: [dog]", "is no data.yaml of YOLO"),
    "no names": ("train: images/train\nnc: 2", "has no names of its classes"),
    "gone": ("train: images/nowhere\nnames: [dog]", "names images/nowhere, which does not exist"),
    "outside": ("train: ../outside\nnames: [dog]", "lies outside of .*set source.images"),
    "absolute": ("train: /etc\nnames: [dog]", "lies outside of .*set source.images"),
    "nul": ('train: "a\\0b"\nnames: [dog]', "which does not exist"),
}


@pytest.mark.parametrize(("text", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_another_form_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "outside").mkdir()
    root = _written(tmp_path / "set", LABELS)
    (root / "data.yaml").write_text(text)
    with pytest.raises(SourceError, match=says):
        _photos(root)


def test_names_too_long_for_a_file_are_those_of_no_photo(tmp_path: Path) -> None:
    root, name = _written(tmp_path, LABELS, val=[], train="list.txt"), f"{'n' * 300}.jpg"
    (root / "list.txt").write_text(f"images/train/a.jpg\n{name}\n")
    assert _photos(root).keys() == {"a.jpg", name}  # which the stage that opens it refuses
    _written(tmp_path, {}, train=name)
    with pytest.raises(SourceError, match="which does not exist"):
        _photos(root)


def test_a_folder_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no data\.yaml"):
        _photos(tmp_path)
    with pytest.raises(SourceError, match="cannot be read"):
        _photos(tmp_path / "gone.yaml")


@pytest.mark.slow
def test_boxes_are_those_that_ultralytics_reads(tmp_path: Path) -> None:
    from ultralytics.data.dataset import YOLODataset

    root = _written(tmp_path, LABELS)
    theirs = YOLODataset(
        img_path=str(root / "images" / "train"),
        data={"names": {0: "dog", 1: "cat"}, "channels": 3},
        task="detect",
    ).get_labels()
    found = _photos(root)
    for entry in theirs:
        ours = found[Path(entry["im_file"]).name]
        for (x, y, width, height), annotation in zip(
            entry["bboxes"].tolist(), ours.annotations, strict=True
        ):
            edges = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
            assert annotation.box.as_list() == pytest.approx(edges, abs=1e-5)

"""Lists of identities, boxes and splits in CelebA's published form."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from repic import config
from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import photos
from repic.sources.base import Annotation, RefusedPhoto, SourcePhoto

IDENTITY = "000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n000004.jpg 5805\n"
BOXES = """4
image_id x_1 y_1 width height
000001.jpg    95  71 226 313
000002.jpg    72  94 221 306
000003.jpg   216  59  91 126
000004.jpg   622 257 564 781
"""
PARTITION = "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n"


def _photos(root: Path, **settings: Any) -> dict[str, SourcePhoto]:
    values = {"kind": "celeba", "path": str(root), "identity": "annotation", **settings}
    found = photos(config.SourceSettings.model_validate(values), config.SplitSettings())
    return {Path(uris.file_path(photo.uri)).name: photo for photo in found}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folders in which CelebA is distributed, with two of the photos."""
    root = tmp_path / "CelebA"
    for name in ("Anno", "Eval", "Img/img_celeba"):
        (root / name).mkdir(parents=True)
    (root / "Anno" / "identity_CelebA.txt").write_text(IDENTITY)
    (root / "Anno" / "list_bbox_celeba.txt").write_text(BOXES)
    (root / "Eval" / "list_eval_partition.txt").write_text(PARTITION)
    for number in (1, 2):
        Image.new("RGB", (409, 687)).save(root / "Img" / "img_celeba" / f"00000{number}.jpg")
    return root


def test_identity_box_and_split_of_each_photo(root: Path) -> None:
    found = _photos(root)
    assert found.keys() == {f"00000{n}.jpg" for n in range(1, 5)}
    first = found["000001.jpg"]
    assert first.uri == uris.file_uri(root / "Img" / "img_celeba" / "000001.jpg")
    assert first.identity == "2880"
    assert first.annotations == (Annotation(Box(95, 71, 321, 384), "face", "2880"),)
    assert found["000003.jpg"].identity == "2880"
    assert {name: photo.split for name, photo in found.items()} == {
        "000001.jpg": "train",
        "000002.jpg": "train",
        "000003.jpg": "validation",
        "000004.jpg": "test",
    }
    hidden = _photos(root, identity="none")["000001.jpg"]
    assert (hidden.identity, hidden.annotations[0].identity) == (None, None)


def test_all_files_in_one_folder(root: Path) -> None:
    """As torchvision unpacks them."""
    for path in [*(root / "Anno").iterdir(), *(root / "Eval").iterdir()]:
        path.rename(root / path.name)
    (root / "Img" / "img_celeba").rename(root / "img_celeba")
    assert _photos(root)["000004.jpg"].split == "test"


def test_boxes_are_not_of_aligned_photos(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(root / "Img")
    for name in ("img_align_celeba", "renamed"):
        (root / name).mkdir()
        Image.new("RGB", (178, 218)).save(root / name / "000002.jpg")
    for settings in ({}, {"images": str(root / "renamed")}):
        with caplog.at_level(logging.WARNING):
            found = _photos(root, **settings)
        assert {photo.annotations for photo in found.values()} == {()}
        assert found["000002.jpg"].identity == "2937"
        assert "4 boxes, which are of the photos in the wild; these are aligned" in caplog.text


def test_lists_as_csv(root: Path) -> None:
    """As others distribute them."""
    for name in ("Anno/list_bbox_celeba", "Eval/list_eval_partition"):
        text = (root / f"{name}.txt").read_text()
        (root / f"{name}.txt").unlink()
        rows = [",".join(line.split()) for line in text.splitlines() if line != "4"]
        head = [] if "bbox" in name else ["image_id,partition"]
        (root / f"{name}.csv").write_text("\n".join([*head, *rows]))
    found = _photos(root)
    assert found["000001.jpg"].annotations[0].box == Box(95, 71, 321, 384)
    assert found["000003.jpg"].split == "validation"


def test_several_faces_of_a_photo_have_no_identity(root: Path) -> None:
    (root / "Anno" / "list_bbox_celeba.txt").write_text(
        BOXES.replace("4\n", "5\n", 1) + "000001.jpg 1 2 3 4\n"
    )
    first = _photos(root)["000001.jpg"]
    assert [a.identity for a in first.annotations] == [None, None]
    assert first.identity == "2880"


BROKEN = {
    "no lists": (lambda root: shutil.rmtree(root / "Anno"), "has neither identity_CelebA.txt"),
    "no photos": (lambda root: shutil.rmtree(root / "Img"), "photos of CelebA are not below"),
    "other header": (
        lambda root: _edit(root, "Anno/list_bbox_celeba.txt", "x_1 y_1", "left top"),
        "does not begin with a count and image_id x_1 y_1 width height",
    ),
    "cut off": (
        lambda root: _edit(root, "Anno/list_bbox_celeba.txt", "000004", "\x00", cut=True),
        "announces 4 lines and has 3: it is cut off",
    ),
    "binary": (
        lambda root: (root / "Anno" / "identity_CelebA.txt").write_bytes(b"\xff\xfe\x00"),
        "is not UTF-8 text",
    ),
    "one line": (
        lambda root: (root / "Anno" / "identity_CelebA.txt").write_text("x" * 100_000),
        "a line of 65536 characters",
    ),
    "other list": (
        lambda root: (root / "Anno" / "identity_CelebA.txt").write_text("<html>\n"),
        "has no line such as `000001.jpg 2880`",
    ),
}


def _edit(root: Path, name: str, old: str, new: str, cut: bool = False) -> None:
    text = (root / name).read_text()
    (root / name).write_text(text.partition(old)[0] if cut else text.replace(old, new))


@pytest.mark.parametrize(("damage", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_another_form_is_refused_in_one_sentence(root: Path, damage: Any, says: str) -> None:
    damage(root)
    with pytest.raises(SourceError, match=says):
        _photos(root)


def test_broken_lines_cost_only_themselves(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "Anno" / "identity_CelebA.txt").write_text(
        IDENTITY + "000002.jpg 17\n000005.jpg\n../../secret.jpg 9\na\0b.jpg 9\n"
    )
    (root / "Anno" / "list_bbox_celeba.txt").write_text(
        BOXES.replace("4\n", "7\n", 1).replace("226 313", "0 313")
        + "000002.jpg 1 2 x 4\n000005.jpg\n000001.jpg nan 1 2 3\n"
    )
    (root / "Eval" / "list_eval_partition.txt").write_text(
        PARTITION + "000004.jpg 0\n000001.jpg 7\n000009.jpg\n"
    )
    with caplog.at_level(logging.WARNING):
        found = _photos(root)
    assert found["000001.jpg"].annotations == ()
    assert found["000001.jpg"].split == "train"
    assert found["000002.jpg"].identity is None
    assert len(found["000002.jpg"].annotations) == 1
    assert found["000004.jpg"].split == "test"
    assert found["000004.jpg"].identity == "5805"
    assert isinstance(found["secret.jpg"], RefusedPhoto)
    for reason in (
        "1 photos with several identities",
        "1 lines of identity_CelebA.txt that are not a name and a value",
        "4 lines of list_bbox_celeba.txt without a box",
        "1 lines of list_eval_partition.txt with another part",
        "1 lines of list_eval_partition.txt that are not",
    ):
        assert reason in caplog.text


def test_a_name_too_long_for_a_file_is_left_to_the_stage_that_opens_it(root: Path) -> None:
    name = f"{'n' * 300}.jpg"
    (root / "Anno" / "identity_CelebA.txt").write_text(f"{name} 1\n{IDENTITY}")
    assert name in _photos(root)

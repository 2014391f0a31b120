from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from repic import config
from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import coco_masks, photos
from repic.sources.base import Annotation, SourcePhoto

INSTANCES: dict[str, Any] = {
    "images": [
        {"id": 1, "file_name": "one.jpg", "width": 100, "height": 80, "license": 4},
        {"id": 2, "file_name": "sub/two #2.jpg", "width": 50, "height": 50},
        {"id": 3, "file_name": "missing.jpg"},
        {"id": 4},
    ],
    "annotations": [
        {"id": 10, "image_id": 1, "category_id": 7, "bbox": [10, 20, 30.5, 40], "identity": 5},
        {"id": 11, "image_id": 1, "category_id": 8, "bbox": [90, 70, 20, 20], "iscrowd": 0},
        {"id": 12, "image_id": 1, "category_id": 8, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"id": 13, "image_id": 1, "category_id": 8, "bbox": [200, 0, 9, 9]},
        {"id": 14, "image_id": 1, "category_id": 8, "bbox": [5, 5, 0, 9]},
        {"id": 15, "image_id": 1, "category_id": 8, "bbox": [5, 5, 9]},
        {"id": 16, "image_id": 1, "category_id": 8},
        {"id": 17, "image_id": 99, "category_id": 8, "bbox": [0, 0, 9, 9]},
        {"id": 18, "image_id": 1, "category_id": 99, "bbox": [0, 0, 9, 9]},
        {"id": 19, "image_id": 1, "category_id": 8, "bbox": [0, float("nan"), 9, 9]},
        {"id": 20, "image_id": 3, "category_id": 8, "bbox": [5, 5, 900, 900]},
        "nonsense",
    ],
    "categories": [{"id": 7, "name": "dog"}, {"id": 8, "name": "cat"}],
    "licenses": [{"id": 4, "name": "CC BY 2.0"}],
}


def _write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def _photos(path: Path, **settings: object) -> dict[str, SourcePhoto]:
    chosen = config.SourceSettings.model_validate({"kind": "coco", "path": str(path), **settings})
    return {Path(uris.file_path(p.uri)).name: p for p in photos(chosen, config.SplitSettings())}


def test_boxes_labels_and_licences(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _write(tmp_path / "instances_val.json", INSTANCES)
    with caplog.at_level(logging.WARNING):
        by_name = _photos(path)
    assert by_name.keys() == {"one.jpg", "two #2.jpg", "missing.jpg"}
    one = by_name["one.jpg"]
    assert one.licence == "CC BY 2.0"
    assert one.identity is None
    assert one.annotations == (
        Annotation(Box(10, 20, 40.5, 60), "dog"),
        Annotation(Box(90, 70, 100, 80), "cat"),
    )
    assert by_name["missing.jpg"].annotations == (Annotation(Box(5, 5, 905, 905), "cat"),)
    assert uris.file_path(by_name["two #2.jpg"].uri) == str(tmp_path / "sub" / "two #2.jpg")
    log = caplog.text
    assert "5 annotations whose box is malformed or outside" in log
    for reason in ("1 crowds", "1 annotations of unknown images", "1 annotations of unknown cat"):
        assert reason in log


def test_broken_records_cost_only_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is counted once, and the rest can be written to a table."""
    odd = "\ud800"
    box = [0, 0, 9, 9]
    good = {"id": 1, "image_id": 1, "category_id": 7, "bbox": box, "caption": odd}
    broken: dict[str, Any] = {
        "images": [
            {"id": 1, "file_name": "one.jpg", "license": [4], "width": 9, "height": 9},
            {"id": 2, "file_name": "wide.jpg", "width": "wide"},
            {"id": 3, "file_name": "nul\0.jpg"},
            {"id": 4, "file_name": 5},
            {"id": 5, "file_name": f"{odd}.jpg"},
            {"id": [6], "file_name": "list.jpg"},
            {"id": None, "file_name": "none.jpg"},
            "nonsense",
        ],
        "annotations": [
            good,
            {**good, "id": [2], "identity": odd},
            {**good, "image_id": [1]},
            {**good, "category_id": {}},
            {**good, "category_id": 8},
            {**good, "image_id": 2},
            {**good, "bbox": [0, 0, 9, 10**400]},
            {**good, "bbox": 5},
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 8, "name": odd}, {"id": []}, "cat"],
        "licenses": [{"id": 4, "name": 5}, 6],
    }
    refs = [
        {"image_id": [1], "ann_id": 1, "sentences": ["nowhere"]},
        {"image_id": 1, "ann_id": {"1": 1}, "sentences": ["nothing"]},
        {"image_id": 1, "ann_id": 1, "sentences": 7},
        {"image_id": 1, "ann_id": 1, "sentences": [odd, "the  dog"]},
    ]
    path = _write(tmp_path / "x.json", broken)
    with caplog.at_level(logging.WARNING):
        by_name = _photos(
            path, refs=str(_write(tmp_path / "refs.json", refs)), identity="annotation"
        )
    assert by_name.keys() == {"one.jpg", "wide.jpg", "nul\0.jpg"}
    assert by_name["one.jpg"].annotations == (
        Annotation(Box(0, 0, 9, 9), "dog", expressions=("the dog",)),
        Annotation(Box(0, 0, 9, 9), "dog"),
        Annotation(Box(0, 0, 9, 9), ""),
    )
    assert {photo.caption for photo in by_name.values()} == {None}
    for reason in (
        "5 images without a usable file_name or id",
        "3 categories without a usable id or name",
        "2 licenses without a usable id or name",
        "1 annotations of unknown images",
        "1 annotations of unknown categories",
        "1 labels, of categories without a name",
        "2 annotations whose box is malformed",
        "2 referring expressions without an annotation",
        "1 referring expressions without a sentence",
    ):
        assert reason in caplog.text


def test_photos_are_relative_to_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "train2017").mkdir()
    path = _write(tmp_path / "annotations" / "x.json", INSTANCES)
    by_name = _photos(path, images=str(tmp_path / "train2017"), licence="mine")
    assert by_name["one.jpg"].uri == uris.file_uri(tmp_path / "train2017" / "one.jpg")
    assert by_name["one.jpg"].licence == "mine"
    with pytest.raises(SourceError, match=r"source\.images"):
        _photos(path, images=str(tmp_path / "nowhere"))


def test_identities_of_annotations_are_read_where_asked(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.json", INSTANCES)
    assert _photos(path)["one.jpg"].annotations[0].identity is None
    asked = _photos(path, identity="annotation")["one.jpg"]
    assert [a.identity for a in asked.annotations] == ["5", None]


def test_captions_of_the_same_file_or_the_one_beside_it(tmp_path: Path) -> None:
    captions = [
        {"id": 1, "image_id": 1, "caption": "A dog\n and a cat. "},
        {"id": 2, "image_id": 1, "caption": "Another."},
        {"id": 3, "image_id": 2, "caption": ""},
    ]
    path = _write(tmp_path / "instances_val.json", INSTANCES)
    _write(tmp_path / "captions_val.json", {"images": [], "annotations": captions})
    by_name = _photos(path)
    assert by_name["one.jpg"].caption == "A dog and a cat."
    assert by_name["two #2.jpg"].caption is None
    both = INSTANCES | {"annotations": INSTANCES["annotations"][:1] + captions}
    merged = _photos(_write(tmp_path / "merged.json", both))["one.jpg"]
    assert merged.caption == "A dog and a cat."
    assert len(merged.annotations) == 1


def test_referring_expressions_in_every_form(tmp_path: Path) -> None:
    refs = [
        {"image_id": 1, "ann_id": 10, "sentences": [{"sent": "the dog", "raw": "The Dog"}]},
        {"image_id": 1, "ann_id": 10, "expressions": ["big  dog", "the dog", " "]},
        {"image_id": 1, "bbox": [90, 70, 10, 10], "sentences": ["cat on the right"]},
        {"image_id": 3, "ann_id": 20, "expressions": "only cat"},
        {"image_id": 1, "bbox": [0, 0, 5, 5], "sentences": ["nothing there"]},
        {"image_id": 1, "ann_id": 99, "sentences": ["unknown"]},
        {"image_id": 77, "ann_id": 10, "sentences": ["unknown"]},
        {"image_id": 1, "ann_id": 11, "sentences": []},
        {"image_id": 1},
    ]
    path = _write(tmp_path / "x.json", INSTANCES)
    for value in (refs, {"refs": refs}):
        by_name = _photos(path, refs=str(_write(tmp_path / "refs.json", value)))
        dog, cat = by_name["one.jpg"].annotations
        assert dog.expressions == ("the dog", "big dog")
        assert cat.expressions == ("cat on the right",)
        assert by_name["missing.jpg"].annotations[0].expressions == ("only cat",)


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        '{"images": 3}',
        "{}",
        '{"images": null}',
        '{"images": [], "categories": 3}',
    ],
)
def test_another_file_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"not a COCO file|not a JSON file"):
        _photos(path)
    with pytest.raises(SourceError, match="there is no file"):
        _photos(tmp_path / "gone.json")


def test_refs_of_another_form_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.json", INSTANCES)
    with pytest.raises(SourceError, match="not a list of referring expressions"):
        _photos(path, refs=str(_write(tmp_path / "refs.json", {"a": 1})))


def _file(**changes: Any) -> dict[str, Any]:
    """One photo with one object, changed."""
    return {
        "images": [{"id": 1, "file_name": "one.jpg", "width": 100, "height": 80}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 40]}],
        "categories": [{"id": 7, "name": "dog"}],
        **changes,
    }


def _object(**changes: Any) -> dict[str, Any]:
    return {"annotations": [{"id": 1, "image_id": 1, "category_id": 7, **changes}]}


MASK = np.zeros((80, 100), np.uint8)
MASK[20:60, 10:40] = 1
RUNS = [10 * 80 + 20, *[40, 40] * 29, 40, 60 * 80 + 20]


@pytest.mark.parametrize(
    "changes",
    [
        _object(image_id="1", bbox=[10, 20, 30, 40]),
        _object(category_id="7", bbox=[10, 20, 30, 40]),
        _object(image_id=1.0, bbox=[10, 20, 30, 40]),
        _object(bbox=[0.1, 0.25, 0.3, 0.5]),
        _object(segmentation=[[10, 20, 40, 20, 40, 60, 10, 60]]),
        _object(bbox=[], segmentation=[[10, 20, 40, 20, 25, 60]]),
        _object(segmentation={"size": [80, 100], "counts": RUNS}),
    ],
    ids=["text", "category", "float", "shares", "polygon", "empty box", "runs"],
)
def test_one_box_written_in_many_ways(tmp_path: Path, changes: dict[str, Any]) -> None:
    one = _photos(_write(tmp_path / "x.json", _file(**changes)))["one.jpg"]
    assert [a.box.as_list() for a in one.annotations] == [pytest.approx([10, 20, 40, 60])]
    assert [a.label for a in one.annotations] == ["dog"]
    assert one.drawn_on == (100, 80)


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.integers(0, 1))
)
def test_the_box_of_a_mask_contains_it_tightly(mask: np.ndarray) -> None:
    flat = mask.T.reshape(-1)
    runs, value = [], 0
    for key, group in itertools.groupby(flat.tolist()):
        if key != value:
            runs.append(0)
        runs.append(len(list(group)))
        value = 1 - key
    for counts in (runs, _compressed(runs)):
        box = coco_masks.bounds({"size": list(mask.shape), "counts": counts})
        if not mask.any():
            assert box is None
            continue
        rows, columns = np.nonzero(mask)
        assert box is not None
        x1, y1, x2, y2 = box.as_list()
        assert (x1, x2) == (columns.min(), columns.max() + 1)
        assert y1 <= rows.min() < rows.max() + 1 <= y2


def _compressed(counts: list[int]) -> str:
    """`rleToString` of cocoapi."""
    text = ""
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            digit = value & 31
            value >>= 5
            more = value != -1 if digit & 16 else value != 0
            text += chr((digit | 32 if more else digit) + 48)
    return text


@pytest.mark.parametrize(
    "segmentation",
    [
        None,
        [],
        [[1, 2]],
        [["a", 2, 3, 4, 5, 6]],
        "text",
        {"size": [80, 100]},
        {"size": [80, 100], "counts": [9000]},
        {"size": [-1, 100], "counts": [1, 1]},
        {"size": [80, 100], "counts": "\x00"},
        {"size": [80, 100], "counts": [0, 10**30]},
    ],
    ids=str,
)
def test_a_broken_segmentation_gives_no_box(segmentation: Any) -> None:
    assert coco_masks.bounds(segmentation) is None


def test_a_file_whose_objects_are_all_lost_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.json", _file(**_object(image_id=9, bbox=[1, 2, 3, 4])))
    with pytest.raises(SourceError, match=r"none of 1 annotations .* 1 annotations of unknown im"):
        _photos(path)


def test_a_share_beyond_all_floats_is_no_box(tmp_path: Path) -> None:
    boxes = [[0.1, 0.1, 0.5, 0.5], [-(10**400), 0.1, 0.5, 0.5]]
    common = {"image_id": 1, "category_id": 7}
    objects = [{"id": number, "bbox": box, **common} for number, box in enumerate(boxes)]
    path = _write(tmp_path / "x.json", _file(annotations=objects))
    assert [len(photo.annotations) for photo in _photos(path).values()] == [1]


def test_windows_paths_are_read(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "sub\\one.jpg", "width": 100, "height": 80}]
    [photo] = _photos(_write(tmp_path / "x.json", _file(images=images))).values()
    assert uris.file_path(photo.uri) == str(tmp_path / "sub" / "one.jpg")


def test_cvat_keeps_identities_and_occlusion_among_attributes(tmp_path: Path) -> None:
    changes = _object(bbox=[10, 20, 30, 40], attributes={"identity": "Rex", "occluded": True})
    [photo] = _photos(_write(tmp_path / "x.json", _file(**changes)), identity="annotation").values()
    assert photo.annotations == (Annotation(Box(10, 20, 40, 60), "dog", "Rex", occluded=True),)


def test_a_folder_is_no_annotation_file(tmp_path: Path) -> None:
    settings = config.SourceSettings(kind="coco", path=str(tmp_path), identity="annotation")
    with pytest.raises(SourceError, match=r"is a folder; give the JSON file in it \(source.path\)"):
        list(photos(settings, config.SplitSettings()))

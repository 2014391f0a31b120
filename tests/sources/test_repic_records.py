"""Photos of RePIC's released training records."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from repic import config
from repic.errors import SourceError
from repic.images import uris
from repic.images.coordinates import Box
from repic.sources import photos
from repic.sources.base import Annotation, RefusedPhoto, SourcePhoto

RECORDS: list[dict[str, Any]] = [
    {
        "image": ["crops/rex-1.jpg", "photos/rex-2.jpg"],
        "problem": "Is it the same one in both?",
        "solution": "yes",
        "accu_reward_method": "yes_no",
    },
    {
        "image": ["crops/rex-1.jpg", "photos/cat.jpg"],
        "problem": "Is it the same one in both?",
        "solution": "No",
        "accu_reward_method": "yes_no",
    },
    {
        "image": "photos/street.jpg",
        "problem": 'Where is "the man in a red coat"?',
        "solution": [10, 20, 110, 220],
        "accu_reward_method": "iou",
    },
    {
        "image": "photos/street.jpg",
        "problem": "Give the box of the region that this describes: left car.",
        "solution": [1, 2, 30, 40],
    },
    {
        "image": ["crops/mug-1.jpg", "photos/mug-2.jpg"],
        "problem": "This is <Ann>. Describe the last picture.",
        "solution": "<Ann>",
        "accu_reward_method": "yes_no_name",
    },
    {
        "image": ["crops/a.jpg", "crops/b.jpg", "photos/ab.jpg"],
        "problem": "Describe the last picture.",
        "solution": ["<Jo>", "<Kim>"],
        "accu_reward_method": "yes_no_name_multi",
    },
]


def _photos(path: Path, **settings: Any) -> dict[str, SourcePhoto]:
    values = {"kind": "repic", "path": str(path), **settings}
    found = photos(config.SourceSettings.model_validate(values), config.SplitSettings())
    return {Path(uris.file_path(photo.uri)).name: photo for photo in found}


def _written(path: Path, records: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(records)
    if path.suffix == ".jsonl":
        text = "\n".join(json.dumps(record) for record in records)
    path.write_text(text)
    return path


def test_pictures_boxes_and_expressions(tmp_path: Path) -> None:
    found = _photos(_written(tmp_path / "train.json", RECORDS))
    assert len(found) == 9
    street = found["street.jpg"]
    assert street.uri == uris.file_uri(tmp_path / "photos" / "street.jpg")
    assert street.annotations == (
        Annotation(Box(10, 20, 110, 220), "", None, ("the man in a red coat",)),
        Annotation(Box(1, 2, 30, 40), "", None, ("left car",)),
    )
    assert {photo.caption for photo in found.values()} == {None}


def test_a_pair_that_no_other_record_touches_is_an_identity(tmp_path: Path) -> None:
    found = _photos(_written(tmp_path / "train.json", RECORDS))
    identities = {name: photo.identity for name, photo in found.items() if photo.identity}
    assert identities == {
        "rex-1.jpg": "crops/rex-1.jpg",
        "rex-2.jpg": "crops/rex-1.jpg",
        "mug-1.jpg": "crops/mug-1.jpg",
        "mug-2.jpg": "crops/mug-1.jpg",
    }
    hidden = _photos(tmp_path / "train.json", identity="none")
    assert {photo.identity for photo in hidden.values()} == {None}


@pytest.mark.parametrize(
    ("image", "method", "solution"),
    [
        (["crops/other.jpg", "photos/rex-2.jpg"], "yes_no", "yes"),
        (["crops/other.jpg", "photos/rex-2.jpg"], "yes_no_name", "<Bo>"),
        (["crops/x.jpg", "crops/y.jpg", "photos/rex-2.jpg"], "yes_no_name_multi", ["<A>", "<B>"]),
        (["photos/rex-2.jpg", "crops/rex-1.jpg"], "yes_no", "no"),
    ],
)
def test_a_query_that_may_hold_several_things_makes_no_identity(
    tmp_path: Path, image: list[str], method: str, solution: object
) -> None:
    """Two references of one photo are not thereby one thing."""
    more = {"image": image, "problem": "?", "solution": solution, "accu_reward_method": method}
    found = _photos(_written(tmp_path / "train.json", [*RECORDS, more]))
    assert {found[name].identity for name in ("rex-1.jpg", "rex-2.jpg")} == {None}
    assert found["mug-1.jpg"].identity


def test_the_yaml_of_the_released_loader_and_a_folder(tmp_path: Path) -> None:
    _written(tmp_path / "oct.jsonl", RECORDS[:2])
    _written(tmp_path / "vlt.json", RECORDS[2:])
    (tmp_path / "data.yaml").write_text(
        "datasets:\n  - json_path: /home/author/oct.jsonl\n  - json_path: vlt.json\n"
    )
    whole = _photos(_written(tmp_path / "all" / "train.json", RECORDS))
    for path in (tmp_path / "data.yaml", tmp_path):
        assert _photos(path).keys() == whole.keys()
    assert _photos(tmp_path / "oct.jsonl").keys() == {"rex-1.jpg", "rex-2.jpg", "cat.jpg"}


def test_photos_are_where_they_are_found(tmp_path: Path) -> None:
    path = _written(tmp_path / "records" / "train.json", RECORDS)
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked" / "street.jpg").write_bytes(b"a photo")
    found = _photos(path, images=str(tmp_path / "unpacked"))
    assert found["street.jpg"].uri == uris.file_uri(tmp_path / "unpacked" / "street.jpg")


BROKEN = {
    "no json": ("train.json", "[{", "is not a JSON file"),
    "no list": ("train.json", '{"image": "a.jpg"}', "is no JSON list of records"),
    "no record": ("train.json", "[5, {}]", "has no record of RePIC"),
    "conversations": ("train.json", '[{"conversations": []}]', "has no record of RePIC"),
    "bytes": ("train.json", "\udcff", "is not UTF-8 text"),
    "no datasets": ("data.yaml", "train: x", "is no list `datasets:`"),
    "no yaml": ("data.yaml", "{", "is no list `datasets:`"),
    "program": ("data.yaml", "!!python/object/apply:os.system [true]", "is no list `datasets:`"),
    "long": ("data.yaml", f"datasets: [{{json_path: {'n' * 300}}}]", "which is not in its folder"),
    "gone": ("data.yaml", "datasets: [{json_path: ../x.json}]", "which is not in its folder"),
}


@pytest.mark.parametrize(("name", "text", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_another_form_is_refused_in_one_sentence(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    _written(tmp_path / "x.json", RECORDS)
    path = tmp_path / "set" / name
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError, match=says):
        _photos(path)
    with pytest.raises(SourceError, match="cannot be read"):
        _photos(tmp_path / "gone.json")


def test_broken_records_cost_only_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = {"image": "one.jpg", "problem": "Where is it?"}
    records = [
        *RECORDS,
        *(5, {}, {"image": [], "solution": "yes"}, {"image": ["a.jpg", 5], "solution": "yes"}),
        *({**one, "solution": s} for s in ([1, 2, 3], "yes", [5, 5, 1, 1], [1, 2, "x", 4], None)),
        {**one, "solution": [1, 2, 3, 4]},
        {"image": ["p.jpg", "q.jpg"], "solution": "maybe", "accu_reward_method": "yes_no"},
        {"image": ["p.jpg", "q.jpg"], "solution": "yes", "accu_reward_method": "other"},
        {"image": "../../secret.jpg", "solution": [1, 2, 3, 4]},
        {"image": "nul\0.jpg", "solution": [1, 2, 3, 4]},
    ]
    path = _written(tmp_path / "train.jsonl", records)
    path.write_text(path.read_text() + "\n{")
    with caplog.at_level(logging.WARNING):
        found = _photos(path)
    assert found["one.jpg"].annotations == (Annotation(Box(1, 2, 3, 4), ""),)
    assert len(found["street.jpg"].annotations) == 2
    assert isinstance(found["secret.jpg"], RefusedPhoto)
    for reason in (
        "5 records of another form",
        "5 records whose answer is no box",
        "1 records whose answer is not yes or no",
        "1 records that tell only which pictures there are",
        "3 expressions that cannot be told",
    ):
        assert reason in caplog.text

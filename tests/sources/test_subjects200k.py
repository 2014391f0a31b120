from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from repic import config
from repic.errors import SourceError
from repic.images import decode
from repic.sources import photos
from repic.sources.base import SourcePhoto

LEFT, RIGHT, PADDING = (200, 30, 30), (30, 30, 200), (255, 255, 255)


def _composite(side: int = 512, layout: str = "around") -> bytes:
    """Two views with 16 pixels of padding, for each interpretation of the data set card."""
    image = Image.new("RGB", (2 * (side + 16), side + 16), PADDING)
    corners = {
        "around": ((8, 8), (side + 24, 8)),
        "between": ((8, 8), (side + 16, 8)),
        "before": ((16, 16), (side + 32, 16)),
    }[layout]
    for colour, corner in zip((LEFT, RIGHT), corners, strict=True):
        image.paste(colour, (*corner, corner[0] + side, corner[1] + side))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _row(grades: tuple[int, int, int] | None, picture: bytes, **description: Any) -> dict[str, Any]:
    names = ("compositeStructure", "objectConsistency", "imageQuality")
    return {
        "image": {"bytes": picture, "path": None},
        "collection": "collection_2",
        "quality_assessment": grades and dict(zip(names, grades, strict=True)),
        "description": {
            "item": "Lamp",
            "description_0": "A lamp on a desk.",
            "description_1": "A lamp in a hall.",
            "category": "Furniture",
            "description_valid": True,
            **description,
        },
    }


def _shard(folder: Path, rows: list[dict[str, Any]], number: int = 0) -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"data/train-{number:05d}-of-00002.parquet")
    return folder


def _photos(path: Path, **settings: object) -> list[SourcePhoto]:
    chosen = {"kind": "subjects200k", "path": str(path), **settings}
    return list(photos(config.SourceSettings.model_validate(chosen), config.SplitSettings()))


def test_a_row_is_two_photos_of_one_identity(tmp_path: Path) -> None:
    _shard(tmp_path, [_row((5, 5, 5), _composite())])
    _shard(tmp_path, [_row((5, 5, 5), _composite(), description_valid=False)], 1)
    left, right, *invalid = _photos(tmp_path)
    assert left.identity == right.identity == "train-00000-of-00002/0"
    assert (left.caption, right.caption) == ("A lamp on a desk.", "A lamp in a hall.")
    assert left.licence == "Apache-2.0"
    assert [p.caption for p in invalid] == [None, None]
    assert {p.identity for p in invalid} == {"train-00001-of-00002/0"}
    assert {p.identity for p in _photos(tmp_path, identity="none")} == {None}


@pytest.mark.parametrize("layout", ["around", "between", "before"])
@pytest.mark.parametrize("side", [512, 1024])
def test_a_view_has_no_padding_and_nothing_of_the_other(
    tmp_path: Path, layout: str, side: int
) -> None:
    _shard(tmp_path, [_row((5, 5, 5), _composite(side, layout))])
    for photo, colour in zip(_photos(tmp_path), (LEFT, RIGHT), strict=True):
        view = np.asarray(decode.open_image(photo.uri))
        assert (view == colour).all()
        assert abs(view.shape[0] - view.shape[1]) <= 1
        assert view.shape[0] > 0.93 * side


def test_all_three_grades_must_reach_the_quality(tmp_path: Path) -> None:
    picture = _composite(64)
    grades = [(5, 5, 5), (5, 4, 5), (3, 5, 5), (0, 0, 0), None]
    _shard(tmp_path, [_row(g, picture) for g in grades])
    counts = [len(_photos(tmp_path, min_quality=q)) for q in (5, 4, 3, 0)]
    assert counts == [2, 4, 6, 10]


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="has no Parquet files"):
        _photos(tmp_path / "empty")
    pq.write_table(pa.table({"image": [b""]}), tmp_path / "other.parquet")
    with pytest.raises(SourceError, match=r"no column description, quality.* is this Subjects200K"):
        _photos(tmp_path / "other.parquet")

"""Tables as `datasets.Dataset`: types as in our schemas, pictures as a model sees them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import fsspec
import pyarrow as pa
import pytest
from PIL import Image

from repic.errors import PictureError
from repic.export.addresses import address, entry_at, picture_of
from repic.export.features import FACTS, dataset, embedded, features
from repic.export.pictures import whole
from repic.images.cache import PictureCache
from repic.tables import TABLES
from tests.builds import Built

datasets.disable_progress_bars()

CHANGED = {"mirrored": True, "scale": 80, "brightness": 90, "contrast": 100, "saturation": 100}


@pytest.fixture(scope="module")
def rows(built: Built) -> pa.Table:
    return built.store.read("examples@latest")


def pixels(pictures: Iterable[Image.Image]) -> list[tuple[tuple[int, int], bytes]]:
    return [(picture.size, picture.tobytes()) for picture in pictures]


def entry(**changes: Any) -> dict[str, Any]:
    plain = {"image_id": "ab12", "uri": "file:///a%20%23/b,&=?.jpg", "width": 640, "height": 480}
    return {**plain, "crop": (0.1, 1e-05, 30.300000190734863, 2.0), "augmentation": None} | changes


@pytest.mark.parametrize("name", sorted(TABLES))
def test_features_have_the_types_of_the_schema(name: str) -> None:
    schema = TABLES[name].schema
    typed = features(schema)
    assert [column for column in typed if column not in {FACTS, "image"}] == schema.names
    for field in schema:
        if field.name == "images":
            assert typed["images"] == datasets.List(datasets.Image())
        elif pa.types.is_map(field.type):
            pair = {"key": datasets.Value("string"), "value": datasets.Value("float32")}
            assert typed[field.name] == datasets.List(pair)
        elif not pa.types.is_nested(field.type):
            assert pa.field("", typed[field.name].pa_type).type == field.type
    if name == "examples":
        assert typed["box"] == datasets.List(datasets.Value("float32"), length=4)
        assert typed["references"].feature["present"] == datasets.Value("bool")
        assert typed["scene"].feature["phrases"] == datasets.List(datasets.Value("string"))


def test_pictures_are_what_training_shows(rows: pa.Table) -> None:
    cache = PictureCache()
    changes = {"mirrored": True, "scale": 80, "brightness": 90, "contrast": 100, "saturation": 100}
    listed = rows.to_pylist()
    listed[1]["images"][0]["augmentation"] = changes
    shown = dataset(pa.Table.from_pylist(listed, rows.schema))
    for index, row in enumerate(listed[:2]):
        expected, unreadable = cache.of_row(row)
        assert unreadable is None
        assert (
            pixels(shown[index]["images"])
            == pixels(expected)
            == pixels(map(picture_of, row["images"]))
        )
        assert shown[index][FACTS] == row["images"]
        others = {key: value for key, value in shown[index].items() if key not in {"images", FACTS}}
        assert others == {key: value for key, value in row.items() if key != "images"}


def test_some_columns_and_no_rows(rows: pa.Table) -> None:
    assert dataset(rows.select(["split"])).column_names == ["split"]
    assert dataset(rows.slice(0, 0))[:]["images"] == []
    assert dataset(rows.slice(3, 2))["example_id"][:] == rows["example_id"].to_pylist()[3:5]


def test_photos_have_their_picture(built: Built) -> None:
    photos = dataset(built.store.read("images@latest"))
    assert photos[0]["image"].size == (photos[0]["width"], photos[0]["height"])


@pytest.mark.parametrize("how", ["disk", "parquet", "map"])
def test_copies_of_datasets_show_the_same(
    rows: pa.Table, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `map` with processes leaves a copy in `os.environ`, which rich and others would not look at.
    monkeypatch.setattr(os, "environ", os.environ)
    some = dataset(rows.slice(0, 4))
    if how == "disk":
        some.save_to_disk(tmp_path / "rows")
        copy = datasets.load_from_disk(tmp_path / "rows")
    elif how == "parquet":
        some.to_parquet(tmp_path / "rows.parquet")
        copy = datasets.Dataset.from_parquet(
            str(tmp_path / "rows.parquet"), cache_dir=tmp_path / "cache"
        )
    else:
        copy = some.map(lambda row: {"n": len(row["images"])}, num_proc=2)
    for before, after in zip(some, copy, strict=True):
        assert pixels(before["images"]) == pixels(after["images"])
        assert before["box"] == after["box"]
    assert len(datasets.concatenate_datasets([some, copy.select_columns(some.column_names)])) == 8


def test_an_embedded_copy_needs_no_photos_and_says_no_paths(built: Built, tmp_path: Path) -> None:
    rows = built.store.read("examples@latest").slice(0, 3)
    some = dataset(rows)
    expected = [pixels(row["images"]) for row in some]
    file = tmp_path / "rows.parquet"
    embedded(some).remove_columns(FACTS).to_parquet(file)
    assert os.fsencode(str(built.album.folder)) not in file.read_bytes()
    copy = datasets.Dataset.from_parquet(str(file), cache_dir=tmp_path / "cache")
    assert type(copy.features["images"].feature) is datasets.Image
    cells = copy.cast_column("images", datasets.List(datasets.Image(decode=False)))[0]["images"]
    assert all(cell["bytes"].startswith(b"\x89PNG") for cell in cells)
    assert [pixels(row["images"]) for row in copy] == expected


@pytest.mark.parametrize(
    "given",
    [
        entry(),
        entry(augmentation=CHANGED),
        entry(uri="file:///d/0.tar#member=7.jpg&offset=512&size=9"),
    ],
)
def test_an_address_keeps_what_determines_a_picture(given: dict[str, Any]) -> None:
    assert entry_at(address(given)) == given
    assert address(given).rpartition("/")[2] == "ab12.png"
    assert not set(address(given)) & set("*?[]#")


def test_an_address_of_a_stranger_shows_no_photo_of_ours(built: Built) -> None:
    [row] = built.store.read("images@latest").slice(0, 1).to_pylist()
    ours = whole(row)
    assert picture_of(ours)
    guessed = address({**ours, "image_id": "0" * 32})
    with pytest.raises(PictureError, match="the file has changed since the build"):
        fsspec.open(guessed).open()
    rows = datasets.Dataset.from_dict({"image": [guessed]})
    with pytest.raises(PictureError, match="the file has changed since the build"):
        _ = rows.cast_column("image", datasets.Image())[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"augmentation": CHANGED | {"scale": 10**9}},
        {"augmentation": CHANGED | {"surprise": 1}},
        {"augmentation": [1]},
        {"crop": [0.0, 0.0, float("inf"), 9.0]},
        {"crop": [float("nan")] * 4},
        {"crop": [0.0, 0.0, 9.0]},
        {"width": -1},
    ],
)
def test_an_address_that_no_row_has_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(PictureError, match="make the rows again"):
        fsspec.open(address(entry(**changed))).open()


def test_a_photo_that_is_gone_is_said_with_its_remedy(tmp_path: Path) -> None:
    gone = entry(uri=(tmp_path / "gone.jpg").as_uri())
    with pytest.raises(PictureError, match=r"gone\.jpg: there is no such file; put the photo back"):
        picture_of(gone)
    with pytest.raises(PictureError, match=r"gone\.jpg"), fsspec.open(address(gone)) as file:
        file.read()
    with pytest.raises(PictureError, match="no address"):
        entry_at("repic-picture://nothing/x.png")
    with pytest.raises(PictureError, match="only be read"), fsspec.open(address(gone), "wb"):
        pass

"""Changed crops: what the row says is what training, the export and the report show."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from repic.export.pictures import PictureWriter
from repic.images.augmentation import Augmentation
from repic.images.cache import PictureCache
from repic.images.identity import image_id_of
from repic.report.pictures import PagePicture, thumbnails

CHANGED = Augmentation(mirrored=True, scale=130, brightness=90, contrast=110, saturation=80)


def photo(folder: Path) -> tuple[Path, Image.Image]:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8))
    image = small.resize((120, 90), Image.Resampling.BICUBIC)
    image.save(folder / "photo.png")
    return folder / "photo.png", image


def entry(path: Path, augmentation: Augmentation | None) -> dict[str, Any]:
    return {
        "role": "reference",
        "image_id": image_id_of(hashlib.sha256(path.read_bytes()).hexdigest(), None),
        "uri": path.as_uri(),
        "width": 120,
        "height": 90,
        "crop": [10.0, 20.0, 70.0, 60.0],
        "augmentation": augmentation and augmentation.as_entry(),
    }


def pixels(image: Image.Image) -> list[int]:
    return np.asarray(image.convert("RGB")).flatten().tolist()


def test_a_crop_is_changed_as_the_row_says(tmp_path: Path) -> None:
    path, image = photo(tmp_path)
    cache = PictureCache()
    plain, changed = (cache.picture(entry(path, a)) for a in (None, CHANGED))
    assert pixels(plain) == pixels(image.crop((10, 20, 70, 60)))
    assert changed.size == CHANGED.size(60, 40) == (78, 52)
    back = ImageOps.mirror(changed).resize((60, 40), Image.Resampling.BICUBIC)
    distance = np.abs(np.subtract(pixels(back), pixels(plain), dtype=float)).mean()
    assert 5 < distance < 40, "other colours of the same thing"
    straight = np.abs(np.subtract(pixels(changed.resize((60, 40))), pixels(plain), dtype=float))
    assert straight.mean() > distance
    reduced = cache.picture({**entry(path, CHANGED), "short_side": 26})
    assert reduced.size == (39, 26)


def test_only_size_and_sides_change_at_100_percent(tmp_path: Path) -> None:
    path, image = photo(tmp_path)
    mirrored = PictureCache().picture(entry(path, Augmentation(True, 100, 100, 100, 100)))
    assert pixels(mirrored) == pixels(ImageOps.mirror(image.crop((10, 20, 70, 60))))


def test_rows_of_older_versions_have_no_augmentation(tmp_path: Path) -> None:
    path, image = photo(tmp_path)
    old = entry(path, None)
    del old["augmentation"]
    assert pixels(PictureCache().picture(old)) == pixels(image.crop((10, 20, 70, 60)))


def test_a_missing_picture_is_grey_and_of_the_changed_size(tmp_path: Path) -> None:
    path, _ = photo(tmp_path)
    row = {"example_id": "e", "images": [entry(path, CHANGED)]}
    path.unlink()
    [grey], reason = PictureCache().of_row(row)
    assert reason
    assert grey.size == (78, 52)


def test_export_and_report_show_the_same(tmp_path: Path) -> None:
    path, _ = photo(tmp_path)
    shown = PictureCache().picture(entry(path, CHANGED))
    row = {
        "example_id": "e",
        "objective": "oct",
        "kind": "positive",
        "box": None,
        "answer": "yes",
        "prompt": [{"type": "image", "text": ""}],
        "references": [],
        "images": [entry(path, None), entry(path, CHANGED)],
    }
    writer = PictureWriter(tmp_path / "out", "copy", keep_exif=False)
    files = [tmp_path / "out" / str(writer.export(picture).path) for picture in row["images"]]
    assert [Image.open(f).size for f in files] == [(60, 40), (78, 52)]
    assert pixels(Image.open(files[1])) == pixels(shown)
    picture = PagePicture(
        row["images"][1]["image_id"], path.as_uri(), (10.0, 20.0, 70.0, 60.0), CHANGED
    )
    small = thumbnails([picture])[picture]
    jpeg = Image.open(io.BytesIO(base64.b64decode(small.data.partition(",")[2])))
    assert jpeg.size == shown.size
    assert np.abs(np.subtract(pixels(jpeg), pixels(shown), dtype=float)).mean() < 6


@pytest.mark.parametrize("scale", [1, 55, 160])
def test_no_side_is_below_a_pixel(scale: int) -> None:
    changed = Augmentation(False, scale, 100, 100, 100)
    assert changed.apply(Image.new("RGB", (3, 2))).size == changed.size(3, 2)
    assert min(changed.size(3, 2)) >= 1

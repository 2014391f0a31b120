"""Objectives of sources, and how rows are drawn by the weights of their sources."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.config import SourceSettings
from repic.objectives import source_use
from repic.objectives.corpus import first_bits
from storage.hashing import fingerprint

Row = dict[str, Any]


def made(counts: dict[str, int]) -> tuple[list[Row], pa.Table]:
    """Rows whose query photos are of sources, some of each, and the images table."""
    rows, photos = [], []
    for name, count in counts.items():
        for number in range(count):
            photo = f"{name}{number}"
            photos.append({"image_id": photo, "source": name})
            rows.append({"example_id": fingerprint(photo), "image_id": photo})
    return rows, pa.Table.from_pylist([*photos, {"image_id": "elsewhere", "source": "x"}])


def drawn(rows: list[Row], images: pa.Table, count: int, seed: int = 0, **weight: float) -> set:
    sources = [SourceSettings(name=name, weight=w) for name, w in weight.items()]
    table = pa.Table.from_pylist(rows).sort_by("example_id")
    ids, photos = first_bits(table["example_id"]), table["image_id"].combine_chunks()
    order = source_use.row_order(seed, ids, photos.dictionary_encode(), images, sources)
    return set(table["image_id"].take(pa.array(order[:count])).to_pylist())


@given(st.integers(0, 2**62), st.sampled_from([0.1, 1.0, 7.0]))
def test_equal_weights_draw_as_none(seed: int, weight: float) -> None:
    rows, images = made({"a": 20, "b": 20})
    assert drawn(rows, images, 12, seed) == drawn(rows, images, 12, seed, a=weight, b=weight)


@given(st.integers(0, 2**62), st.integers(0, 40), st.integers(0, 40))
def test_a_larger_draw_contains_a_smaller_one(seed: int, one: int, other: int) -> None:
    rows, images = made({"a": 20, "b": 20})
    few, many = (drawn(rows, images, n, seed, a=1, b=5) for n in sorted((one, other)))
    assert few <= many


@given(st.integers(0, 2**62), st.floats(0.01, 100), st.floats(1, 100))
def test_a_larger_weight_never_draws_fewer_rows(seed: int, weight: float, factor: float) -> None:
    rows, images = made({"a": 20, "b": 20})
    less, more = (
        {photo for photo in drawn(rows, images, 15, seed, a=1, b=w) if photo.startswith("b")}
        for w in (weight, weight * factor)
    )
    assert less <= more


@pytest.mark.parametrize("weight", [1.0, 2.0, 5.0])
def test_rows_are_drawn_in_proportion(weight: float) -> None:
    rows, images = made({"a": 2000, "b": 2000})
    count = Counter(photo[0] for photo in drawn(rows, images, 200, a=1, b=weight))
    assert count["b"] / 200 == pytest.approx(weight / (weight + 1), abs=0.08)


def test_the_recipe_is_that_of_before_unless_sources_differ() -> None:
    assert source_use.describe(()) == source_use.describe([SourceSettings(kind="coco")]) == {}
    twice = [SourceSettings(name="a", weight=2), SourceSettings(name="b", weight=2)]
    assert source_use.describe(twice) == {}
    assert source_use.describe([*twice, SourceSettings(name="c", objectives=("vlt",))]) == {
        "sources": {
            "objectives": {
                "a": ["ict", "oct", "vlt"],
                "b": ["ict", "oct", "vlt"],
                "c": ["vlt"],
            },
            "weights": {"a": 2, "b": 2, "c": 1},
        }
    }

"""The key of a photo, and what its rows are made from, change if and only if the rows may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repic.config import ExampleSettings
from repic.objectives import ExampleInputs, build, write
from tests.objectives.tables import Build, image_row, labelled_build, object_row

Row = dict[str, Any]

ROWS_OF_PHOTO = dict[str, list[Row]]

WITHOUT_CROPS = ExampleSettings(vlt={"max_lazy_iou": 1})
"""The best fixed box of VLT is that of all photos."""


def keyed(world: Build, chosen: ExampleSettings | None = None) -> tuple[ExampleInputs, list[str]]:
    inputs = ExampleInputs.of(world.corpus, chosen or ExampleSettings())
    return inputs, inputs.keys["key"].to_pylist()


def rows_by_key(world: Build, chosen: ExampleSettings | None = None) -> ROWS_OF_PHOTO:
    """Key -> rows of the photo, written alone."""
    inputs, keys = keyed(world, chosen)
    return {
        key: by_id(write(inputs.take(np.array([i])), chosen or ExampleSettings()).rows)
        for i, key in enumerate(keys)
    }


def rows_by_hash(world: Build, chosen: ExampleSettings | None = None) -> dict[int, Row]:
    """What a row is made from -> the row."""
    inputs, keys = keyed(world, chosen)
    written = write(inputs.take(np.arange(len(keys))), chosen or ExampleSettings())
    return dict(zip(written.made_from, written.rows, strict=True))


def by_id(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["example_id"])


def changed(world: Build, table: str, change: Callable[[Row], Row]) -> Build:
    """The same world with one table's rows changed."""
    original: pa.Table = getattr(world, table)
    rows = [change(row) for row in original.to_pylist()]
    setattr(world, table, pa.Table.from_pylist(rows, schema=original.schema))
    return world


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("images", "caption", "Nothing is where it was."),
        ("images", "uri", "file:///elsewhere.jpg"),
        ("objects", "expressions", ["the one by the door"]),
        ("objects", "x1", 90.0),
        ("objects", "label", "lamp"),
        ("pairs", "similarity", 0.99),
        ("pairs", "band", "easy"),
        ("pairs", "review", "reject"),
    ],
)
def test_a_photo_of_which_anything_changed_is_written_anew(
    table: str, column: str, value: Any
) -> None:
    chosen = getattr(labelled_build(8, 3), table).to_pylist()[0]

    def change(row: Row) -> Row:
        return {**row, column: value} if row == chosen else row

    for rows in (rows_by_key, rows_by_hash):
        before = rows(labelled_build(8, 3))
        after = rows(changed(labelled_build(8, 3), table, change))
        kept = before.keys() & after.keys()
        assert 0 < len(kept) < len(before)
        assert all(after[key] == before[key] for key in kept)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    st.sets(st.integers(0, 23), max_size=6),
    st.sets(st.integers(0, 23), max_size=6),
    st.sampled_from(["never", "auto", "always"]),
)
def test_equal_keys_mean_equal_rows(first: set[int], second: set[int], use: Any) -> None:
    chosen = ExampleSettings(same_photo={"use": use})

    def seen(hidden: set[int]) -> Build:
        world = described()
        for index, image_id in enumerate(world.splits):
            world.splits[image_id] = None if index in hidden else ("train", "test")[index % 5 == 0]
        return world

    for rows in (rows_by_key, rows_by_hash):
        before, after = rows(seen(first), chosen), rows(seen(second), chosen)
        for key in before.keys() & after.keys():
            assert before[key] == after[key]
        if first == second:
            assert before == after


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_order_and_shards_of_photos_do_not_matter(random: Any, size: int) -> None:
    world = described()
    whole, summaries = build(*world.tables, ExampleSettings())
    expected = keyed(world)[1]
    for name in ("images", "objects", "pairs"):
        table = getattr(world, name)
        order = random.sample(range(table.num_rows), table.num_rows)
        setattr(world, name, table.take(pa.array(order)))
    inputs, keys = keyed(world)
    assert keys == expected
    photos = random.sample(range(len(keys)), len(keys))
    blocks = [np.array(photos[i : i + size]) for i in range(0, len(photos), size)]
    rows = [row for b in blocks for row in write(inputs.take(b), ExampleSettings()).rows]
    assert by_id(rows) == whole
    again, same = build(*world.tables, ExampleSettings())
    assert again == whole
    assert same == summaries


def described() -> Build:
    """A world in which captions have facts."""
    words = iter(f"w{n}" for n in range(9999))
    world = labelled_build(8, 3)
    return changed(
        world,
        "objects",
        lambda row: {**row, "expressions": [f"a {next(words)} {next(words)} thing"]},
    )


def test_strangers_leave_the_keys_of_others() -> None:
    world = labelled_build(8, 3)
    _, before = keyed(world, WITHOUT_CROPS)
    images = [*world.images.to_pylist(), image_row("new")]
    objects = [*world.objects.to_pylist(), object_row("new", "new", label="tower")]
    _, after = keyed(Build(images, objects, world.pairs.to_pylist()), WITHOUT_CROPS)
    assert set(before) < set(after)
    assert len(after) == len(before) + 1


def test_a_group_may_get_members_elsewhere() -> None:
    """Its name, the smallest id of its members, may change by that, but not what is known here."""
    world = labelled_build(8, 3)
    _, before = keyed(world, WITHOUT_CROPS)
    images = [*world.images.to_pylist(), *(image_row(f"new {n}") for n in range(9))]
    more = [object_row(f"new {n}", f"new {n}", identity="id0", label="dog") for n in range(9)]
    objects = [*world.objects.to_pylist(), *more]
    inputs, after = keyed(Build(images, objects, world.pairs.to_pylist()), WITHOUT_CROPS)
    first = min(row["object_id"] for row in more)
    assert inputs.corpus.objects["object_id"][int(inputs.corpus.group.min())].as_py() <= first
    assert set(before) < set(after)

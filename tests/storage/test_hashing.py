"""The content hash depends on the rows, but not on order or layout."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from storage import hashing
from storage.hashing import (
    EMPTY,
    combine,
    content_hash,
    content_of_rows,
    fingerprint,
    row_hashes,
)
from tests.timing import is_within

SCHEMA = pa.schema(
    {
        "n": pa.int64(),
        "x": pa.float64(),
        "s": pa.string(),
        "b": pa.bool_(),
        "l": pa.list_(pa.list_(pa.int32())),
        "t": pa.struct({"a": pa.string(), "v": pa.list_(pa.float16())}),
        "f": pa.list_(pa.float32(), 2),
    }
)
texts = st.text(max_size=3)
halves = st.floats(width=16, allow_nan=False)
row = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "x": st.none() | st.floats(),
        "s": st.none() | texts,
        "b": st.none() | st.booleans(),
        "l": st.none() | st.lists(st.none() | st.lists(st.integers(-9, 9), max_size=3), max_size=3),
        "t": st.none()
        | st.fixed_dictionaries({"a": st.none() | texts, "v": st.lists(halves, max_size=3)}),
        "f": st.none() | st.lists(st.floats(width=32), min_size=2, max_size=2),
    }
)
tables = st.lists(row, min_size=1, max_size=12).map(lambda r: pa.Table.from_pylist(r, SCHEMA))


def canonical(value: object) -> object:
    """What the hash calls equal: one NaN, and 0.0 is -0.0."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value + 0.0
    if isinstance(value, dict):
        return {k: canonical(v) for k, v in value.items()}
    return [canonical(v) for v in value] if isinstance(value, list) else value


@given(tables, st.randoms())
def test_order_of_rows_and_columns_does_not_matter(table, random):
    order = list(range(table.num_rows))
    random.shuffle(order)
    columns = list(table.column_names)
    random.shuffle(columns)
    assert content_hash(table.take(order).select(columns)) == content_hash(table)


@given(tables, st.integers(0, 12), st.integers(0, 12))
def test_chunks_and_parts_do_not_matter(table, cut, other):
    pieces = [table.slice(0, cut), table.slice(cut)]
    assert content_hash(pa.concat_tables(pieces)) == content_hash(table)
    assert combine(map(content_hash, pieces)) == content_hash(table)
    assert content_hash(table.slice(other)) == content_hash(
        pa.Table.from_pylist(table.slice(other).to_pylist(), SCHEMA)
    )


@given(tables, tables)
def test_different_rows_have_different_hashes(a, b):
    def multiset(table):
        return sorted(map(repr, canonical(table.to_pylist())))

    assert (content_hash(a) == content_hash(b)) == (multiset(a) == multiset(b))


@given(tables, st.data())
def test_any_changed_value_changes_the_hash(table, data):
    changed = table.to_pylist()
    at = data.draw(st.integers(0, len(changed) - 1))
    column = data.draw(st.sampled_from(SCHEMA.names))
    before = changed[at][column]
    changed[at] = {**changed[at], column: data.draw(row)[column]}
    assume(canonical(before) != canonical(changed[at][column]))
    assert content_hash(pa.Table.from_pylist(changed, SCHEMA)) != content_hash(table)


@given(tables)
def test_a_row_that_is_there_twice_counts(table):
    assert content_hash(pa.concat_tables([table, table])) not in {content_hash(table), EMPTY}


def test_values_do_not_move_between_columns_rows_or_nesting():
    def of(**columns):
        return content_hash(pa.table(columns))

    assert of(a=[1, 2], b=[3, 4]) != of(a=[3, 4], b=[1, 2])
    assert of(a=[1, 2], b=[3, 4]) != of(a=[1, 2], b=[4, 3])
    assert of(a=[[1], [2, 3]]) != of(a=[[1, 2], [3]])
    assert of(a=[[1, 2]]) != of(a=[[2, 1]])
    assert of(a=[[], [1]]) != of(a=[None, [1]])
    assert of(a=[[None]]) != of(a=[[None, None]])
    assert of(a=["1"]) != of(a=[1])
    assert of(a=[1]) != of(a=[True])
    assert of(a=[1]) != of(a=[1.0])
    assert of(a=[b"x"]) != of(a=["x"])
    assert of(a=[1]) != of(a=[1], b=[None])


def test_representation_does_not_matter():
    texts = pa.array(["x", None, "y", "x"])
    plain = content_hash(pa.table({"a": texts}))
    for other in (texts.dictionary_encode(), texts.cast(pa.large_string())):
        assert content_hash(pa.table({"a": other})) == plain
    assert content_hash(pa.table({"a": texts.cast(pa.string_view())})) == plain
    lists = pa.array([[1.5, 2.0], [0.25, 4.0]], pa.list_(pa.float16()))
    fixed, wide = pa.list_(pa.float16(), 2), pa.list_(pa.float64())
    for kind in (fixed, wide, pa.large_list(pa.float16())):
        assert content_hash(pa.table({"a": lists.cast(kind)})) == content_hash(
            pa.table({"a": lists})
        )


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(2)]
)
@pytest.mark.parametrize("distinct", [1, 3, 400])
def test_texts_that_many_rows_share_are_hashed_as_any(monkeypatch, kind, distinct):
    texts = [f"{i % distinct:x}"[-2:].zfill(2) if i % 7 else None for i in range(400)]
    column = pa.chunked_array([texts[:90], [], texts[90:]], pa.string()).cast(pa.binary())
    table = pa.table({"a": column.cast(kind), "n": range(400)})
    whole = row_hashes(table)
    assert content_of_rows(whole) == content_hash(table)
    monkeypatch.setattr(hashing, "BLOCK_BYTES", 1 << 10)
    assert (row_hashes(table) == whole).all()
    each = [content_hash(table.slice(i, 1)) for i in range(400)]
    assert [content_of_rows(whole[:, i : i + 1]) for i in range(400)] == each


def test_every_arrow_type_that_parquet_keeps():
    table = pa.table(
        {
            "day": [date(2026, 1, 1), None],
            "moment": [datetime(2026, 1, 1, tzinfo=UTC), None],
            "money": [Decimal("1.50"), None],
            "bytes": pa.array([b"ab", None], pa.binary(2)),
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())),
            "nothing": pa.nulls(2),
            "big": pa.array([2**64 - 1, None], pa.uint64()),
        }
    )
    hashes = {content_hash(table.select([name])) for name in table.column_names}
    assert len(hashes) == table.num_columns
    assert content_hash(table.take([1, 0])) == content_hash(table)
    with pytest.raises(TypeError, match="no content hash"):
        content_hash(pa.table({"a": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
@pytest.mark.parametrize("joined", [1, 40, 1 << 30])
def test_more_text_than_one_array_can_hold_is_numbered_in_groups(monkeypatch, kind, joined):
    """Arrow cannot join chunks of a string column beyond 2 GiB."""
    chunks = [["a", "b", None], ["a"], [], ["c", "a", None, "dd"], [None], ["b"] * 9]
    column = pa.chunked_array([pa.array(chunk, kind) for chunk in chunks])
    table = pa.table({"s": column, "n": range(len(column))})
    whole = row_hashes(table)
    monkeypatch.setattr(hashing, "BLOCK_BYTES", 64)
    monkeypatch.setattr(hashing, "JOINED_BYTES", joined)
    assert hashing._repeated("s", table["s"]), "it is text that repeats"
    assert (row_hashes(table) == whole).all()
    assert (row_hashes(table.slice(2, 9)) == whole[:, 2:11]).all()


def test_the_construction_is_frozen():
    """Existing stores contain these hashes: a change here needs a new format version."""
    table = pa.table(
        {
            "id": ["a", "b", None],
            "n": pa.array([1, -2, 3], pa.int32()),
            "x": [0.5, math.nan, -0.0],
            "flag": [True, False, None],
            "box": pa.array([[1, 2, 3, 4], None, [5, 6, 7, 8]], pa.list_(pa.float32(), 4)),
            "v": pa.array([[0.1], [], [0.2, 0.3]], pa.list_(pa.float16())),
            "refs": pa.array([[{"k": "x", "n": 1}], None, []]),
        }
    )
    assert content_hash(table) == "216be39b64401f91d59441ddcbe60cf2"
    assert content_hash(table.slice(0, 0)) == EMPTY == combine([])
    assert fingerprint({"b": 1, "a": ["é", None]}) == "6b940ff97b8f64e75080429519f8fe71"


@pytest.mark.slow
def test_a_million_rows_and_a_hundred_thousand_vectors_take_seconds():
    random = np.random.default_rng(0)
    million = pa.table(
        {f"n{i}": random.integers(0, 1 << 40, 1_000_000) for i in range(8)}
        | {"id": [f"{i:032x}" for i in range(1_000_000)], "s": random.choice(["a", "b"], 1_000_000)}
    )
    halves = pa.array(random.standard_normal(20_000 * 1280).astype(np.float16))
    vectors = pa.table({"v": pa.FixedSizeListArray.from_arrays(halves, 1280)})
    assert is_within(10, lambda: (content_hash(million), content_hash(vectors)))


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_fingerprints_of_pairs_are_those_of_lists(rows: list[tuple[str, str]]) -> None:
    one, other = (pa.chunked_array([[row[i] for row in rows]], pa.string()) for i in (0, 1))
    found = hashing.fingerprints_of_pairs(one, other).to_pylist()
    assert found == [fingerprint(list(row)) for row in rows]

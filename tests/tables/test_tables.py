"""Rows are checked against the documented schema."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from repic.errors import SchemaError
from repic.tables import TABLES

REVIEW = {
    "subject": "pair",
    "subject_id": "0" * 32,
    "decision": "accept",
    "reviewer": "ann",
    "note": None,
}


def test_every_table_and_column_is_documented() -> None:
    for table in TABLES.values():
        assert table.doc.endswith(".")
        assert set(table.key) <= {column.name for column in table.columns}
        for column in table.columns:
            assert column.doc.endswith("."), f"{table.name}.{column.name}"
            assert table.schema.field(column.name).metadata[b"doc"].decode() == column.doc


def test_columns_need_no_quotes_in_sql() -> None:
    reserved = {
        name
        for name, kind in duckdb.sql(
            "select keyword_name, keyword_category from duckdb_keywords()"
        ).fetchall()
        if kind in ("reserved", "type_function")
    }
    quoted = {"group", "references"}  # the names of published tables stay
    used = {column.name for table in TABLES.values() for column in table.columns}
    assert used & reserved <= quoted


def test_rows_become_a_checked_table() -> None:
    table = TABLES["reviews"].table([REVIEW])
    assert table.schema.equals(TABLES["reviews"].schema)


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({**REVIEW, "colour": "red"}, "no column colour"),
        ({**REVIEW, "decision": None}, "reviews.decision is null"),
        ({**REVIEW, "decision": 3}, "reviews"),
    ],
)
def test_wrong_rows_are_refused(row: dict, hint: str) -> None:
    with pytest.raises(SchemaError, match=hint):
        TABLES["reviews"].table([row])


def test_check_orders_columns_and_finds_missing_ones() -> None:
    table = TABLES["reviews"].table([REVIEW])
    reordered = table.select(list(reversed(table.column_names)))
    assert TABLES["reviews"].check(reordered).column_names == table.column_names
    with pytest.raises(SchemaError, match="missing column note"):
        TABLES["reviews"].check(table.drop_columns("note"))


def test_a_vector_keeps_its_width() -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([0.0] * 8, pa.float16()), 4)
    text = pa.array(["a", "b"])
    table = pa.table(
        {"object_id": text, "image_id": text, "encoder": text, "view": text, "vector": vectors}
    )
    assert TABLES["embeddings"].check(table).schema.field("vector").type.list_size == 4

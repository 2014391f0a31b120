"""Tables as documented columns, and checks of rows against them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from repic.errors import SchemaError

TEXT, FLAG, FLOAT, INT, LONG = pa.string(), pa.bool_(), pa.float32(), pa.int32(), pa.int64()
BOX = pa.list_(pa.float32(), 4)


@dataclass(frozen=True)
class Column:
    """A column and a sentence that documents it."""

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its columns, and the key columns that identify a row."""

    name: str
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema; each field has its documentation as `doc` metadata."""
        return pa.schema(
            pa.field(c.name, c.type, nullable=c.nullable, metadata={"doc": c.doc})
            for c in self.columns
        )

    def table(self, rows: list[dict]) -> pa.Table:
        """Rows as a checked Arrow table.

        Raises:
            SchemaError: a row has an unknown column, a wrong type or a missing value.
        """
        names = {c.name for c in self.columns}
        for row in rows:
            if unknown := sorted(row.keys() - names):
                raise SchemaError(f"{self.name} has no column {', '.join(unknown)}")
        try:
            return self.check(pa.Table.from_pylist(rows, schema=self.schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeError) as error:
            raise SchemaError(f"{self.name}: {error}") from error

    def check(self, table: pa.Table) -> pa.Table:
        """The same rows with the column order and metadata of this table.

        A fixed-size list is accepted as a list, since the width of a vector depends on its encoder.

        Raises:
            SchemaError: a column is missing, unknown or of another type, or has an unexpected null.
        """
        if missing := [c.name for c in self.columns if c.name not in table.column_names]:
            raise SchemaError(f"{self.name}: missing column {', '.join(missing)}")
        if unknown := sorted(set(table.column_names) - {c.name for c in self.columns}):
            raise SchemaError(f"{self.name} has no column {', '.join(unknown)}")
        fields, arrays = [], []
        for column in self.columns:
            array = table[column.name]
            kept = array.type if _is_fixed_size_of(array.type, column.type) else column.type
            try:
                array = array.cast(kept)
            except pa.ArrowException as error:
                raise SchemaError(f"{self.name}.{column.name}: {error}") from error
            if array.null_count and not column.nullable:
                raise SchemaError(f"{self.name}.{column.name} is null in {array.null_count} rows")
            fields.append(
                pa.field(column.name, kept, column.nullable, metadata={"doc": column.doc})
            )
            arrays.append(array)
        return pa.table(arrays, schema=pa.schema(fields))

    def empty(self) -> pa.Table:
        """A table without rows."""
        return self.schema.empty_table()


def _is_fixed_size_of(actual: pa.DataType, declared: pa.DataType) -> bool:
    return (
        pa.types.is_fixed_size_list(actual)
        and pa.types.is_list(declared)
        and actual.value_type == declared.value_type
    )


def struct(**fields: pa.DataType) -> pa.StructType:
    """Struct type whose fields are not nullable."""
    return pa.struct([pa.field(name, kind, nullable=False) for name, kind in fields.items()])


# Structs of several tables.
BLOCK = struct(type=TEXT, text=TEXT)
PICTURE = struct(role=TEXT, image_id=TEXT, uri=TEXT, width=INT, height=INT, crop=BOX)
SCENE = pa.struct(
    [
        pa.field("name", TEXT),
        pa.field("box", BOX, nullable=False),
        pa.field("label", TEXT, nullable=False),
        pa.field("phrases", pa.list_(TEXT), nullable=False),
    ]
)

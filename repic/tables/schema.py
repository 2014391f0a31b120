"""What a table is: documented columns, and a check of the rows that claim to have them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from repic.errors import SchemaError

TEXT, FLAG, FLOAT, INT, LONG = pa.string(), pa.bool_(), pa.float32(), pa.int32(), pa.int64()
BOX = pa.list_(pa.float32(), 4)


@dataclass(frozen=True)
class Column:
    """A column, and a sentence that says what it holds."""

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its columns, and those that together name a row."""

    name: str
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema; each field carries its sentence as `doc` metadata."""
        return pa.schema(
            pa.field(c.name, c.type, nullable=c.nullable, metadata={"doc": c.doc})
            for c in self.columns
        )

    def table(self, rows: list[dict]) -> pa.Table:
        """Rows as a checked Arrow table.

        Raises:
            SchemaError: a row has an unknown column, a wrong type or a missing value.
        """
        known = {c.name for c in self.columns}
        for row in rows:
            if unknown := sorted(row.keys() - known):
                raise SchemaError(f"{self.name} has no column {', '.join(unknown)}")
        try:
            return self.check(pa.Table.from_pylist(rows, schema=self.schema))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(f"{self.name}: {error}") from error

    def check(self, table: pa.Table) -> pa.Table:
        """The same rows with this table's column order and metadata.

        A fixed-size list is accepted where the schema says list: the width of a vector depends on
        its encoder.

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
            kept = array.type if _is_fixed_form(array.type, column.type) else column.type
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
        return self.schema.empty_table()


def _is_fixed_form(actual: pa.DataType, declared: pa.DataType) -> bool:
    return (
        pa.types.is_fixed_size_list(actual)
        and pa.types.is_list(declared)
        and actual.value_type == declared.value_type
    )


def struct(**fields: pa.DataType) -> pa.StructType:
    """A struct without nulls."""
    return pa.struct([pa.field(name, kind, nullable=False) for name, kind in fields.items()])


# Structs that tables of builds and of models share.
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

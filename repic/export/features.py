"""Tables as `datasets.Dataset`: typed features, and pictures as a model sees them, decoded late.

A column of pictures is a `datasets.Image` whose rows hold addresses (`repic.export.addresses`)
instead of bytes; a picture is read when its row is looked at. `save_to_disk` and `to_parquet` keep
the addresses, `push_to_hub` replaces them by the pictures as PNG, and so does `embedded`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from repic.export.addresses import PROTOCOL, address, entry_at, picture_of

if TYPE_CHECKING:
    from PIL import Image

FACTS = "image_facts"
"""Column that keeps the entries of the `images` column: role, photo, crop and changes of each."""


@dataclass(eq=False)
class AddressedImage(datasets.Image):
    """An `Image` that reads addresses directly, since making a PNG of a large photo is slow.

    `datasets` writes it as `Image`, which reads them as PNG files.
    """

    def decode_example(
        self, value: Any, token_per_repo_id: dict[str, str | bool | None] | None = None
    ) -> Image.Image:
        """The picture.

        Raises:
            PictureError: it can no longer be read.
        """
        path = value.get("path") if isinstance(value, Mapping) and not value.get("bytes") else None
        if not path or not path.startswith(PROTOCOL):
            return super().decode_example(value, token_per_repo_id)
        picture = picture_of(entry_at(path))
        return picture if self.mode in (None, picture.mode) else picture.convert(self.mode)

    def __eq__(self, other: object) -> bool:
        # Equal to what `datasets` makes of it, so that copies can be joined with the original.
        return isinstance(other, datasets.Image) and (self.mode, self.decode) == (
            other.mode,
            other.decode,
        )


def features(schema: pa.Schema) -> datasets.Features:
    """The typed features of a table, as those of `dataset`.

    Args:
        schema: Of `repic.tables.TABLES[name].schema`, or of rows with some of its columns.
    """
    return dataset(schema.empty_table()).features


def dataset(rows: pa.Table, fingerprint: str | None = None) -> datasets.Dataset:
    """Rows as a `datasets.Dataset` around the Arrow data.

    Rows of examples, captions and answers have their pictures in `images`, in prompt order; what
    that column held is in `image_facts`. Rows of `images` have the whole photo in `image`. A map
    (`components` of rollouts) becomes a list of key and value, since `datasets` has no maps.

    Args:
        rows: Rows of a table of ours, or some of its columns.
        fingerprint: Of the content, for the caches of `datasets`.
    """
    rows = _plain(rows)
    typed: dict[str, Any] = {}
    if _has_entries(rows.schema):
        index = rows.column_names.index("images")
        entries = rows["images"].combine_chunks()
        rows = rows.set_column(index, "images", _addresses(entries))
        rows = rows.add_column(index + 1, FACTS, entries)
        typed["images"] = datasets.List(AddressedImage())
    elif {"image_id", "uri", "width", "height"} <= set(rows.column_names):
        photos = rows.select(["image_id", "uri", "width", "height"]).to_pylist()
        rows = rows.append_column("image", _cells(photos))
        typed["image"] = AddressedImage()
    typed = {**datasets.Features.from_arrow_schema(rows.schema), **typed}
    info = datasets.DatasetInfo(features=datasets.Features(typed))
    return datasets.Dataset(rows, info=info, fingerprint=fingerprint)


def embedded(rows: datasets.Dataset) -> datasets.Dataset:
    """The same rows with pictures as PNG in place of addresses, for use without our photos.

    Raises:
        PictureError: a picture can no longer be read.
    """
    from datasets.table import embed_table_storage

    arrow = rows.with_format("arrow").map(embed_table_storage, batched=True, batch_size=100)
    return arrow.with_format(**rows.format)


def _has_entries(schema: pa.Schema) -> bool:
    index = schema.get_field_index("images")
    kind = schema.field(index).type if index >= 0 else pa.null()
    return pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)


def _addresses(entries: pa.ListArray) -> pa.ListArray:
    ends = pc.cumulative_sum(pc.list_value_length(entries)).to_pylist()
    cells = _cells(pc.list_flatten(entries).to_pylist())
    return pa.ListArray.from_arrays(pa.array([0, *ends], pa.int32()), cells)


def _cells(entries: Iterable[Mapping[str, Any]]) -> pa.StructArray:
    paths = pa.array([address(entry) for entry in entries], pa.string())
    return pa.StructArray.from_arrays([pa.nulls(len(paths), pa.binary()), paths], ["bytes", "path"])


def _plain(rows: pa.Table) -> pa.Table:
    """The rows as `datasets` holds them: nullable fields without metadata, lists for maps."""
    fields = [pa.field(field.name, _nullable(field.type)) for field in rows.schema]
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(rows.columns, fields, strict=True)
    ]
    return pa.table(columns, schema=pa.schema(fields))


def _nullable(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_map(kind):
        pair = [("key", _nullable(kind.key_type)), ("value", _nullable(kind.item_type))]
        return pa.list_(pa.struct(pair))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _nullable(field.type)) for field in kind])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_nullable(kind.value_type), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(_nullable(kind.value_type))
    return kind

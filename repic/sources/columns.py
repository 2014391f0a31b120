"""What the columns of a data set say of a photo: identity, label, caption and objects.

A column may be a field of a struct, `caption.en`. Numbers of a `ClassLabel` of `datasets` are read
as its names. Objects are in the form of public detection data sets, one struct or list per photo:
`{"bbox": [[x, y, w, h], ...], "category": [...]}` or `[{"bbox": ..., "category": ...}, ...]`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from repic.errors import SourceError
from repic.images.coordinates import Box
from repic.sources.base import Annotation, SourcePhoto, say_skipped

if TYPE_CHECKING:
    from repic import config

MAX_TEXT = 10_000
"""Maximum characters of a text of a data set; longer ones count as absent."""

_BOX = ("bbox", "bboxes", "box", "boxes")
_CATEGORY = ("category", "categories", "label", "labels", "category_id", "class", "name")
_IDENTITY = ("identity", "identities")
_SIZE = ("width", "height")


@dataclass
class Columns:
    """Columns of one data set, chosen by the settings and checked against its schema."""

    settings: config.SourceSettings
    schema: pa.Schema
    where: str
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Raises: SourceError: a column or field does not exist, or holds no text."""
        self._categories: list[str] | None = None
        self._names = {name: class_names(self.schema, name) for name in self._chosen()}
        for setting, name in self._named():
            kind = _type_of(self.schema, name)
            if kind is None:
                raise SourceError(
                    f"{self.where} has no column {name}; it has {', '.join(self.schema.names)} "
                    f"(source.{setting})"
                )
            if pa.types.is_struct(kind) and setting not in ("objects_column", "image_column"):
                fields = [f"{name}.{part.name}" for part in kind]
                raise SourceError(
                    f"column {name} of {self.where} holds a struct, not text; name one of its "
                    f"fields: source.{setting}={' or '.join(fields)}"
                )
        column = self.settings.objects_column
        if column:
            parts = [f"{column}.{name}" for name in _CATEGORY]
            self._categories = next(
                filter(None, (class_names(self.schema, p) for p in parts)), None
            )

    @property
    def read(self) -> list[str]:
        """Top-level columns to read in addition to the picture, each once."""
        names = [_top(self.schema, name) for name in self._chosen()]
        sizes = [name for name in _SIZE if name in self.schema.names]
        return list(dict.fromkeys([*names, *(sizes if self.settings.objects_column else ())]))

    def photo(self, uri: str, row: dict[str, Any]) -> SourcePhoto:
        """The photo at a URI as its row describes it."""
        settings = self.settings
        return SourcePhoto(
            uri=uri,
            source=settings.kind,
            licence=settings.licence,
            identity=self._value(row, self._identity_column),
            caption=text(self._cell(row, settings.caption_column)),
            label=noun(self._value(row, self.settings.label_column), self.counts),
            annotations=tuple(self._objects(row)),
            drawn_on=_size(row) if settings.objects_column else None,
        )

    def warn(self) -> None:
        """Say what was left out of the rows."""
        say_skipped(self.where, self.counts)

    @property
    def _identity_column(self) -> str | None:
        return self.settings.identity_column if self.settings.identity != "none" else None

    def _named(self) -> Iterator[tuple[str, str]]:
        yield "image_column", self.settings.image_column
        if self._identity_column:
            yield "identity_column", self._identity_column
        for setting in ("label_column", "caption_column", "objects_column"):
            if name := getattr(self.settings, setting):
                yield setting, name

    def _chosen(self) -> list[str]:
        return [name for setting, name in self._named() if setting != "image_column"]

    def _cell(self, row: dict[str, Any], column: str | None) -> Any:
        """Value of a column or field; the first one of a list."""
        if not column:
            return None
        top = _top(self.schema, column)
        value = first(row.get(top))
        for part in column.removeprefix(top).split(".")[1:]:
            value = first(value.get(part)) if isinstance(value, dict) else None
        return value

    def _value(self, row: dict[str, Any], column: str | None) -> str | None:
        """A cell as text: the name of a class, a text or a number."""
        return named(self._cell(row, column), self._names.get(column or ""))

    def _objects(self, row: dict[str, Any]) -> Iterator[Annotation]:
        column = self.settings.objects_column
        if not column:
            return
        top = _top(self.schema, column)
        value = row.get(top)
        for part in column.removeprefix(top).split(".")[1:]:
            value = value.get(part) if isinstance(value, dict) else None
        yield from objects(value, self.settings, self._categories, self.counts)


def objects(
    value: Any,
    settings: config.SourceSettings,
    categories: list[str] | None,
    counts: Counter[str],
) -> Iterator[Annotation]:
    """Objects of a cell, from a list of structs or a struct of lists.

    Args:
        categories: Names of numbered categories.
        counts: What was left out, by reason; it is added to.
    """
    for entry in _entries(value):
        found = box(_one_of(entry, _BOX), settings.box_format)
        if found is None:
            counts["objects whose box is malformed or empty"] += 1
            continue
        label = named(_one_of(entry, _CATEGORY), categories) or ""
        if label.isdigit():
            counts["labels that are numbers without names; their boxes are used"] += 1
            label = ""
        with_identity = settings.identity == "annotation"
        identity = named(_one_of(entry, _IDENTITY), None) if with_identity else None
        yield Annotation(found, label, identity)


def noun(value: str | None, counts: Counter[str]) -> str | None:
    """A label as a noun, `red_mug` as `red mug`; None for a number, which is counted."""
    if value and value.replace(".", "").isdigit():
        counts["labels that are numbers without names"] += 1
        return None
    return value and " ".join(value.replace("_", " ").split())


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """Names of a `ClassLabel` column or field of `datasets`; None for others."""
    stored = (schema.metadata or {}).get(b"huggingface")
    try:
        feature: Any = json.loads(stored or b"{}")["info"]["features"]
        for depth, part in enumerate(column.split(".")):
            feature = (_element(feature) if depth else feature)[part]
        feature = _element(feature)
        if feature["_type"] == "ClassLabel":
            return [str(name) for name in feature["names"]]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        pass  # metadata of another library, or none
    return None


def _element(feature: Any) -> Any:
    """Feature of the values of a list; other features themselves."""
    while isinstance(feature, list) or isinstance(feature.get("feature"), dict):
        feature = feature[0] if isinstance(feature, list) else feature["feature"]
    return feature


def _top(schema: pa.Schema, column: str) -> str:
    """The top-level column of `column` or `column.field`."""
    return column if column in schema.names else column.partition(".")[0]


def _type_of(schema: pa.Schema, column: str) -> pa.DataType | None:
    """Type of a column or field, of the values of a list; None if it does not exist."""
    top = _top(schema, column)
    if top not in schema.names:
        return None
    kind = _values(schema.field(top).type)
    for part in column.removeprefix(top).split(".")[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            return None
        kind = _values(kind.field(part).type)
    return kind


def _values(kind: pa.DataType) -> pa.DataType:
    while pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return kind


def first(value: Any) -> Any:
    """The first value of a list; other values themselves."""
    if isinstance(value, list):
        return value[0] if value else None
    return value


def text(value: Any) -> str | None:
    """A text that is not empty and can be stored; None for other values."""
    if not value or not isinstance(value, str) or len(value) > MAX_TEXT:
        return None
    return value.encode("utf-8", "backslashreplace").decode()


def named(value: Any, names: list[str] | None = None) -> str | None:
    """A cell as text: the name of a class, a text or a number; None for other values."""
    if names and isinstance(value, int):
        # datasets writes -1 for a row without a label
        value = names[value] if 0 <= value < len(names) else None
    if value is None or value != value or isinstance(value, dict | list | bytes):  # NaN
        return None
    return text(str(value))


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, dict))
    elif isinstance(value, dict):
        lists = {name: cells for name, cells in value.items() if isinstance(cells, list)}
        boxes = _one_of(lists, _BOX) or []
        for number in range(len(boxes)):
            yield {name: cells[number] for name, cells in lists.items() if number < len(cells)}


def _one_of(entry: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def box(value: Any, form: str = "xyxy") -> Box | None:
    """The box of four numbers in pixels; None if it is malformed or empty."""
    try:
        read = Box.of(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if form == "xywh":
        read = Box(read.x1, read.y1, read.x1 + read.x2, read.y1 + read.y2)
    return read if all(map(math.isfinite, read.as_list())) and read.area > 0 else None


def _size(row: dict[str, Any]) -> tuple[int, int] | None:
    width, height = (row.get(name) for name in _SIZE)
    if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0:
        return width, height
    return None

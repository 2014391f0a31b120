"""Photos of a data set of the library `datasets`.

Supported, in this order: a folder or file of Parquet, or the output of `save_to_disk`; the name of
a data set on the hub; and any other folder as an `imagefolder` of `datasets` (splits and class
labels from folders, more columns from `metadata.csv` or `metadata.jsonl`).

A photo in a file is addressed by its path, a photo in a table by row and column, so no bytes are
read or copied here. Paths in a data set are relative to the table, or to `source.images`, and must
not lead out of the data set, or of `source.images`; see `repic.sources.contained`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from repic.errors import SourceError
from repic.images import uris
from repic.images.refusal import SYSTEM_ERRORS
from repic.sources import contained, hub, parquet
from repic.sources.base import SourcePhoto

if TYPE_CHECKING:
    from repic import config


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos of `settings.split`, with identity and caption from the configured columns.

    Raises:
        SourceError: the data set, split or column does not exist.
    """
    path = hub.local_copy(settings.path or "")
    tables = parquet.table_files(path, settings.split)
    if not tables:
        yield from _image_folder(settings, path)
    for table in tables:
        yield from _table(settings, table, _root(settings, path))


def _root(settings: config.SourceSettings, path: str) -> str:
    """URI of the folder below which names in the data set may lead."""
    root = uris.to_uri(settings.images or path)
    is_table = root.endswith((".parquet", ".arrow"))
    return root.rpartition("/")[0] if is_table else root


def _table(
    settings: config.SourceSettings, table: parquet.TableFile, root: str
) -> Iterator[SourcePhoto]:
    schema = table.schema()
    extra = _columns(settings)
    _check(settings, [settings.image_column, *extra], schema.names)
    identity_names = parquet.class_names(schema, settings.identity_column or "")
    pictures = table.pictures(settings.image_column)
    folder = root if settings.images else table.uri.rpartition("/")[0]
    for number, (path, row) in enumerate(zip(pictures, table.rows(extra), strict=True)):
        own = str(uris.Location(table.uri, number, settings.image_column))
        if path is None:
            yield _photo(settings, own, row, identity_names)
            continue
        try:
            uri = contained.uri_of(folder, path)
        except ValueError:
            uri = own  # no file can have this name, and the cell holds no bytes
        yield contained.checked(_photo(settings, uri, row, identity_names), root)


def _image_folder(settings: config.SourceSettings, path: str) -> Iterator[SourcePhoto]:
    import datasets

    try:
        rows = datasets.load_dataset(
            "imagefolder",
            data_dir=os.path.expanduser(path),
            split=settings.split,
            streaming=True,
            trust_remote_code=False,
        )
        _check(settings, [settings.image_column, *_columns(settings)], list(rows.features))
        label = rows.features.get(settings.identity_column or "")
        names = label.names if isinstance(label, datasets.ClassLabel) else None
        for row in rows.cast_column(settings.image_column, datasets.Image(decode=False)):
            uri = uris.to_uri(row[settings.image_column]["path"])
            yield contained.checked(_photo(settings, uri, row, names), _root(settings, path))
    except (SourceError, MemoryError):
        raise
    except Exception as error:  # the library raises many classes for files of other forms
        if isinstance(error, OSError) and error.errno in SYSTEM_ERRORS:
            raise
        raise SourceError(
            f"{path} has no split {settings.split!r} of Parquet, Arrow or image files "
            f"({error or type(error).__name__}); see source.path and source.split"
        ) from error


def _identity_column(settings: config.SourceSettings) -> str | None:
    return settings.identity_column if settings.identity != "none" else None


def _columns(settings: config.SourceSettings) -> list[str]:
    """Columns in addition to the picture, each once."""
    named = (_identity_column(settings), settings.caption_column)
    return list(dict.fromkeys(column for column in named if column))


def _check(settings: config.SourceSettings, wanted: list[str], present: list[str]) -> None:
    if missing := [column for column in wanted if column not in present]:
        raise SourceError(
            f"{settings.path} has no column {', '.join(missing)}; it has {', '.join(present)} "
            "(source.image_column, identity_column, caption_column)"
        )


def _photo(
    settings: config.SourceSettings, uri: str, row: dict[str, Any], identity_names: list[str] | None
) -> SourcePhoto:
    identity = row.get(_identity_column(settings) or "")
    if identity_names is not None and isinstance(identity, int):
        # datasets writes -1 for a row without a label
        identity = identity_names[identity] if 0 <= identity < len(identity_names) else None
    caption = row.get(settings.caption_column or "")
    if isinstance(caption, list):
        caption = caption[0] if caption else None
    return SourcePhoto(
        uri=uri,
        source=settings.kind,
        licence=settings.licence,
        identity=None if identity is None or identity != identity else str(identity),  # NaN
        caption=caption if caption and isinstance(caption, str) else None,
    )

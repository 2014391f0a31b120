"""Photos of a data set that the library `datasets` reads; see `repic.sources.configurations`.

A photo in a file is addressed by its path, a photo in a table by row and column, so no bytes are
read or copied here. Paths in a data set are relative to the table, or to `source.images`, and must
not lead out of the data set, or of `source.images`; see `repic.sources.contained`. Base64 text in
the cells of a table is decoded when a photo is read.

An identity is what the column `source.identity_column` says of a photo; without it there is none.
With `identity: annotation`, the objects of `source.objects_column` have their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from repic.errors import SourceError
from repic.images import table_cells, uris
from repic.images.refusal import SYSTEM_ERRORS
from repic.sources import configurations, contained, hub, parquet, webdataset
from repic.sources.base import SourceFacts, SourcePhoto
from repic.sources.columns import Columns

if TYPE_CHECKING:
    from repic import config

_log = logging.getLogger(__name__)

FACTS = SourceFacts(
    path="a data set of `datasets`: a folder, a file or a hub name",
    identity="`source.identity_column` (`folder`)",
    boxes="`source.objects_column`",
    captions="`source.caption_column`",
    splits="`source.split` is read",
    licence="`source.licence`; see the card of the data set",
    lacks="expressions",
)


def photos(settings: config.SourceSettings) -> Iterator[SourcePhoto]:
    """All photos of `settings.split`, with what the configured columns say of them.

    Raises:
        SourceError: the data set, configuration, split or column does not exist.
    """
    path = hub.located(settings.path or "", settings.revision, settings.config)
    found = configurations.find(path, settings.config, settings.split)
    root = _root(settings, path)
    for number, table in enumerate(found.tables):
        columns = Columns(settings, table.schema(), settings.path or "")
        if not number and table.holds_base64(settings.image_column):
            _warn_of_base64(settings)
        yield from _table(columns, table, root)
    if found.tars:
        yield from webdataset.of_shards(settings, found.tars)
    if found.rows is not None:
        yield from _rows(settings, found.rows, path, root)


def _root(settings: config.SourceSettings, path: str) -> str:
    """URI of the folder below which names in the data set may lead."""
    root = uris.to_uri(settings.images or path)
    is_file = root.lower().endswith((*parquet.SUFFIXES, *configurations.ROW_FILES))
    return root.rpartition("/")[0] if is_file else root


def _warn_of_base64(settings: config.SourceSettings) -> None:
    _log.warning(
        "%s: column %s holds base64 text, which is decoded at every read; bytes are faster",
        settings.path,
        settings.image_column,
    )


def _table(columns: Columns, table: parquet.TableFile, root: str) -> Iterator[SourcePhoto]:
    column = columns.settings.image_column
    folder = root if columns.settings.images else table.uri.rpartition("/")[0]
    rows = zip(table.pictures(column), table.rows(columns.read), strict=True)
    for number, (name, row) in enumerate(rows):
        own = str(uris.Location(table.uri, number, column))
        if name is None:
            yield columns.photo(own, row)
            continue
        try:
            uri = contained.uri_of(folder, name)
        except ValueError:
            uri = own  # no file can have this name, and the cell holds no bytes
        yield contained.checked(columns.photo(uri, row), root)
    columns.warn()


def _rows(
    settings: config.SourceSettings, rows: Any, path: str, root: str
) -> Iterator[SourcePhoto]:
    """Photos of a data set whose rows are in no table: files with metadata, JSON or CSV."""
    import datasets

    try:
        rows = rows if rows.features else rows._resolve_features()
        features = rows.features
        columns = Columns(settings, features.arrow_schema, settings.path or "")
        column = settings.image_column
        if isinstance(features[column], datasets.Image):
            rows = rows.decode(False)
        for row in rows:
            name = _name(row[column], column, settings.path or "")
            try:
                uri = contained.uri_of(root, name or "")
            except ValueError:
                name = None
            if not name:
                columns.counts["rows without a usable name of a photo"] += 1
                continue
            yield contained.checked(columns.photo(uri, row), root)
        columns.warn()
    except (SourceError, MemoryError):
        raise
    except Exception as error:  # the library raises many classes for files of other forms
        if isinstance(error, OSError) and error.errno in SYSTEM_ERRORS:
            raise
        raise configurations.unreadable(path, settings.split, error) from error


def _name(cell: Any, column: str, where: str) -> str | None:
    """Path or URL of a photo; None if the cell has none.

    Raises:
        SourceError: the cell holds the photo itself, which only tables address.
    """
    if isinstance(cell, dict):
        cell = cell.get("path")
    if not cell:
        return None
    if not isinstance(cell, str):
        raise SourceError(
            f"column {column} of {where} holds {type(cell).__name__}, not paths of photos; "
            "set source.image_column"
        )
    if table_cells.is_base64(cell):
        raise SourceError(
            f"column {column} of {where} holds base64 text, which is read from Parquet only; "
            "convert the file with Dataset.from_json(file).to_parquet(path) of `datasets`"
        )
    return cell

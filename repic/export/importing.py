"""Read an export back into a store, as a version of examples.

A row keeps the URIs of its photos if each photo there has the content that its `image_id` says:
so nobody's rows can make a program read photos that their author does not have. Otherwise, the
exported pictures are copied into a folder, and boxes are moved into them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pyarrow as pa

from repic import config
from repic.errors import TargetError
from repic.export import released_records, row_check
from repic.export.pictures import EXTENSIONS
from repic.export.repic_json import EXAMPLE, OTHER
from repic.export.run import RECORD
from repic.images import uris
from repic.images.coordinates import Box
from repic.images.decode import read_header
from repic.images.fetch import MAX_BYTES, ImageRefused
from repic.images.formats import HEAD_BYTES, sniff
from repic.images.identity import image_id_of, read_identified
from repic.objectives.base import Row
from repic.objectives.query_view import QueryView
from repic.pipeline.forgotten import Forgotten
from repic.sources import local_files
from repic.tables import TABLES
from storage.atomic import replacing
from storage.hashing import fingerprint
from storage.manifest import Manifest, Origin, content_of

if TYPE_CHECKING:
    from storage.parts import Part
    from storage.store import Store

Form = Literal["hf", "repic-json"]
FORMS: tuple[Form, ...] = get_args(Form)
BATCH = 1000


def form_of(name: str) -> Form:
    """A form by its name.

    Raises:
        TargetError: it cannot be imported.
    """
    for form in FORMS:
        if form == name:
            return form
    raise TargetError(f"no import reads {name!r}{config.nearest(name, FORMS)}")


@dataclass
class ImportResult:
    """A finished import.

    Attributes:
        rows: Number of rows.
        skipped: Number of records that were not read, by reason.
        lost: What the rows do not have that ours would, in a sentence; empty if nothing.
    """

    manifest: Manifest
    rows: int
    skipped: Counter[str]
    lost: str


@dataclass(frozen=True)
class ImportedRow:
    """A row of an export with its pictures, in prompt order.

    Attributes:
        pictures: Content of each.
        complete: Whether the row is one of ours, with all columns.
    """

    row: Row
    pictures: Callable[[], list[bytes]]
    complete: bool = True


@dataclass
class RowReader:
    """Rows of a folder, and what was skipped."""

    folder: Path
    skipped: Counter[str] = field(default_factory=Counter)

    def rows(self, form: Form) -> Iterator[ImportedRow]:
        """All rows.

        Raises:
            TargetError: the folder has no file of that form.
        """
        patterns = ["data/*.parquet"] if form == "hf" else ["*.json", "*.jsonl", f"{OTHER}/*.jsonl"]
        found = [path for pattern in patterns for path in sorted(self.folder.glob(pattern))]
        files = [path for path in found if path.name != RECORD]
        if not files:
            raise TargetError(
                f"{self.folder} has no {patterns[-1]}: give the folder of an export --to {form}"
            )
        for path in files:
            yield from self._parquet(path) if form == "hf" else self._records(path)

    def _parquet(self, path: Path) -> Iterator[ImportedRow]:
        import pyarrow.parquet as pq

        from repic.export.features import FACTS

        columns = [c.name for c in TABLES["examples"].columns if c.name != "images"]
        try:
            file = pq.ParquetFile(path)
            if missing := sorted({*columns, "images", FACTS} - {*file.schema_arrow.names}):
                raise TargetError(f"{path} lacks the column {missing[0]}: export it again --to hf")
            for batch in file.iter_batches(100, columns=[*columns, "images", FACTS]):
                for row in batch.to_pylist():
                    cells = row.pop("images")
                    row["images"] = row.pop(FACTS)
                    _check(path, row)
                    yield ImportedRow(row, partial(_cells, path, cells))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise TargetError(f"{path} cannot be read ({error}): export it again") from error

    def _records(self, path: Path) -> Iterator[ImportedRow]:
        for record in released_records.records(path):
            paths = self._pictures(record)
            if paths is None:
                self.skipped["records of another form, or whose pictures are elsewhere"] += 1
                continue
            complete = EXAMPLE in record
            row = record[EXAMPLE] if complete else released_records.row_of(record, paths)
            if row is None or not _has_pictures(row):
                self.skipped["records whose question, answer or picture cannot be used"] += 1
                continue
            if complete:
                _check(path, row)
            yield ImportedRow(row, partial(self._files, paths), complete)

    def _files(self, paths: list[Path]) -> list[bytes]:
        return [self._file(path) for path in paths]

    def _file(self, path: Path) -> bytes:
        if not local_files.is_below(path, self.folder):
            raise TargetError(f"{path} is not in {self.folder}: export it again --pictures copy")
        return local_files.content(path, MAX_BYTES)

    def _pictures(self, record: Any) -> list[Path] | None:
        """The files of a record, below the folder; those of our rows are read on demand only."""
        image = record.get("image") if isinstance(record, dict) else None
        names = [image] if isinstance(image, str) else image
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return None
        paths = [self.folder / name for name in names]
        inside = (local_files.is_below(p, self.folder) and os.path.isfile(p) for p in paths)
        return paths if paths and (all(inside) or EXAMPLE in record) else None


def import_rows(
    store: Store,
    folder: Path,
    form: Form,
    pictures: Path | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> ImportResult:
    """Publish the rows of an export as a version of examples, which becomes the latest.

    Args:
        pictures: Folder to which the exported pictures are copied; rows then show them instead of
            the photos. None: rows keep the URIs of their photos.
        advance: Called with the number of rows that were read.

    Raises:
        TargetError: the folder is no export of that form, a photo is not where a row says, or the
            store is to forget one.
        storage.errors.StoreError: the store cannot be written.
    """
    reader, seen = RowReader(folder), _Photos(pictures, Forgotten.of(store))
    rows, complete = reader.rows(form), True
    parts: list[Part] = []
    recipe = fingerprint(["import", form, str(folder.resolve())])
    while batch := list(islice(rows, BATCH)):
        table = TABLES["examples"].table([seen.placed(item) for item in batch])
        complete = complete and all(item.complete for item in batch)
        ids = table["example_id"].to_pylist()
        parts.append(store.write_part("examples", table, recipe=recipe, covers=ids))
        advance(len(batch))
    if not parts:
        why = "; ".join(f"{n} {reason}" for reason, n in reader.skipped.items()) or "it is empty"
        raise TargetError(f"no row of {folder} could be read ({why})")
    content = content_of("table", [part.shard for part in parts])
    origin = Origin(
        fingerprint=fingerprint(["import", content]),
        sources={"import": {"form": form, **_record(folder)}},
        code_version=config.version(),
    )
    key = TABLES["examples"].key
    manifest = store.publish("examples", parts, origin, key=key, schema=TABLES["examples"].schema)
    store.commit({"examples": manifest.version})
    return ImportResult(manifest, manifest.rows, reader.skipped, _lost(complete, pictures))


def _lost(complete: bool, pictures: Path | None) -> str:
    lost = []
    if not complete:
        lost.append(
            "these are records of RePIC's release: they have no splits (all are train), facts, "
            "absent names or pairs, and say nothing of what their photos show"
        )
    elif pictures is not None:
        lost.append("rows show the exported pictures: the photos around crops are lost")
    return "; ".join(lost)


def _record(folder: Path) -> dict[str, Any]:
    """What the export says of itself: its version and content."""
    try:
        facts = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return {key: str(facts[key]) for key in ("version", "examples", "content")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _check(path: Path, row: Row) -> None:
    needed = (column.name for column in TABLES["examples"].columns if not column.nullable)
    missing = next((name for name in needed if name not in row), None)
    if found := f"no {missing}" if missing else row_check.fault(row):
        raise TargetError(f"{path} has a row that no export writes ({found}): export it again")


def _cells(path: Path, cells: Any) -> list[bytes]:
    found = cells if isinstance(cells, list) else [None]
    inside = [cell.get("bytes") for cell in found if isinstance(cell, dict)]
    pictures = [data for data in inside if isinstance(data, bytes)]
    if len(pictures) < len(found):
        raise TargetError(f"{path} has no pictures in its rows: export it again --to hf")
    return pictures


def _has_pictures(row: Any) -> bool:
    images = row.get("images") if isinstance(row, dict) else None
    return isinstance(images, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("uri"), str) and "image_id" in entry
        for entry in images
    )


class _Photos:
    """Where the pictures of rows are."""

    def __init__(self, folder: Path | None, forgotten: Forgotten) -> None:
        self._folder = folder
        self._forgotten = forgotten
        self._checked: set[tuple[str, str]] = set()
        self._copied: set[str] = set()

    def placed(self, item: ImportedRow) -> Row:
        """The row with pictures that are there.

        Raises:
            TargetError: a photo is not where the row says, or is to be forgotten.
        """
        for picture in item.row["images"]:
            known = self._forgotten.has_id(picture["image_id"])
            if known or self._forgotten.has(None, [picture["uri"]]):
                raise TargetError(
                    f"the row {item.row['example_id']} shows a photo that this store is to forget: "
                    "take its rows out of the export"
                )
        if self._folder is None and item.complete:
            for picture in item.row["images"]:
                self._check(picture["image_id"], picture["uri"])
            return item.row
        if self._folder is None:
            return item.row
        pictures = item.pictures()
        if len(pictures) != len(item.row["images"]):
            raise TargetError(
                f"the row {item.row['example_id']} has {len(pictures)} pictures and names "
                f"{len(item.row['images'])}: export it again"
            )
        return _as_shown(item.row, [self._copy(data) for data in pictures])

    def _check(self, image_id: str, uri: str) -> None:
        """Whether there is a photo of that content at the URI; each is read once."""
        if (image_id, uri) in self._checked:
            return
        try:
            if not uri:
                raise ImageRefused("unreadable", "rows of a pushed export do not tell")
            read_identified(uri, image_id)
        except (ImageRefused, OSError, ValueError) as error:
            raise TargetError(
                f"the photo {uri or image_id} is not where the rows say ({error}): give --pictures "
                "FOLDER to use the exported pictures"
            ) from error
        self._checked.add((image_id, uri))

    def _copy(self, data: bytes) -> Row:
        """Where a copy of a picture is, its id and its size.

        Its name is its content, so that it is nobody else's, and it is there whole or not at all.
        """
        assert self._folder is not None
        image_id = image_id_of(hashlib.sha256(data).hexdigest(), None)
        try:
            header = read_header(data)
        except ImageRefused as error:
            raise TargetError(f"the exported picture {image_id} is broken: {error}") from error
        kind = sniff(data[:HEAD_BYTES]) or ""
        path = self._folder / f"{image_id}.{EXTENSIONS.get(kind, kind.lower())}"
        if image_id not in self._copied:
            with replacing(path) as file:
                file.write(data)
            self._copied.add(image_id)
        width, height = header.upright
        return {"image_id": image_id, "uri": uris.file_uri(path), "width": width, "height": height}


def _as_shown(row: Row, files: list[Row]) -> Row:
    """A row whose pictures are files that show what its crops showed."""
    view = QueryView.of(row)
    images = [
        {
            **picture,
            **file,
            "crop": [0.0, 0.0, float(file["width"]), float(file["height"])],
            "augmentation": None,
        }
        for picture, file in zip(row["images"], files, strict=True)
    ]
    scene = [{**thing, "box": _moved(view, thing["box"])} for thing in row["scene"]]
    box = _moved(view, row["box"]) if row.get("box") else None
    image_id = images[-1]["image_id"]
    return {**row, "image_id": image_id, "images": images, "scene": scene, "box": box}


def _moved(view: QueryView, box: list[float]) -> list[float]:
    return view.to_view(Box.of(box)).as_list()

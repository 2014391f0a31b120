"""What decisions are about, for other programs: similarities, photos, small pictures of objects.

Of the tables only the rows that are asked for are in memory, as Arrow, and of the pictures one.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from repic.images.coordinates import Box
from repic.images.decode import open_image
from repic.pipeline.reviews import Decision, parse_box_id
from storage.hashing import fingerprint
from storage.store import Store

SIDE = 256
"""Longest side of a picture in pixels."""

QUALITY = 85

BLOCK = 1024
"""Decisions whose rows are looked up at once."""

PAIR_COLUMNS = ("pair_id", "kind", "band", "similarity", "margin", "anchor_id", "other_id")
OBJECT_COLUMNS = ("object_id", "image_id", "x1", "y1", "x2", "y2")

Row = Mapping[str, Any]

_Parts = Sequence[str | tuple[str, Box]]
"""Ids of objects, or photos with boxes."""


@dataclass(frozen=True)
class ReviewPlace:
    """A part of a photo: an object, or a box that a reviewer decided on.

    Attributes:
        box: In pixels of the upright photo.
    """

    image_id: str
    box: Box
    uri: str

    @property
    def key(self) -> str:
        """Equal for equal pictures; safe as the name of a file, whatever the photo is called."""
        return fingerprint([self.image_id, self.box.as_list()])

    def jpeg(self) -> bytes:
        """A small picture of it.

        Raises:
            ImageRefused, OSError, ValueError: the photo is gone, has changed, or is not readable.
        """
        picture = open_image(self.uri, self.box, self.image_id)
        picture.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=QUALITY)
        return file.getvalue()


@dataclass(frozen=True)
class ReviewSubject:
    """What a decision is about.

    Attributes:
        pair: Row with `PAIR_COLUMNS`; empty if it is no pair of the latest version.
        places: The two objects of a pair, or the object or box; None for one that is gone.
    """

    pair: Row
    places: tuple[ReviewPlace | None, ...]


class _RowsByKey:
    """Rows of a table by a key."""

    def __init__(self, table: pa.Table, key: str) -> None:
        self._table = table.combine_chunks()
        self._keys = pa.array(self._table[key].combine_chunks())

    def find(self, keys: Sequence[str | None]) -> list[Row | None]:
        """The row of each key; None where there is none."""
        at = pc.index_in(pa.array(keys, pa.string()), value_set=self._keys, skip_nulls=True)
        found = iter(self._table.take(at.drop_null()).to_pylist())
        return [next(found) if known else None for known in at.is_valid().to_pylist()]


class ReviewSubjects:
    """Subjects of decisions, and the doubtful pairs that wait for one, in the latest version."""

    def __init__(self, store: Store, decided: Iterable[Decision]) -> None:
        """
        Raises:
            storage.errors.StoreError: the store has no build, or cannot be read.
        """
        ids: dict[str, set[str]] = {"pair": set(), "object": set(), "box": set(), "identity": set()}
        for row in decided:
            ids[row["subject"]].add(row["subject_id"])
        named = pa.array(sorted(ids["pair"]), pa.string())
        wanted = pc.field("doubtful") | pc.field("pair_id").isin(named)
        pairs = store.read("pairs@latest", PAIR_COLUMNS, wanted).sort_by("pair_id")
        every = pairs["pair_id"]
        is_decided = pc.is_in(every, named)
        self.waiting = every.filter(pc.invert(is_decided)).combine_chunks()
        """Ids of the doubtful pairs that nobody has decided, sorted."""
        things = [*pairs["anchor_id"].chunks, *pairs["other_id"].chunks]
        things.append(pa.array(sorted(ids["object"]), pa.string()))
        objects = _read(store, "objects", OBJECT_COLUMNS, pa.chunked_array(things))
        boxed = sorted({parse_box_id(id_)[0] for id_ in ids["box"] | ids["identity"]})
        photos = [*objects["image_id"].chunks, pa.array(boxed, pa.string())]
        images = _read(store, "images", ("image_id", "uri"), pa.chunked_array(photos))
        self._pairs = _RowsByKey(pairs, "pair_id")
        self._objects, self._images = (
            _RowsByKey(objects, "object_id"),
            _RowsByKey(images, "image_id"),
        )

    def of(self, decisions: Sequence[Row]) -> Iterator[ReviewSubject]:
        """The subject of each decision, of which only `subject` and `subject_id` are read."""
        for start in range(0, len(decisions), BLOCK):
            block = decisions[start : start + BLOCK]
            ids = [row["subject_id"] if row["subject"] == "pair" else None for row in block]
            pairs = self._pairs.find(ids)
            places = self._places([_parts(*both) for both in zip(block, pairs, strict=True)])
            yield from map(ReviewSubject, (pair or {} for pair in pairs), places)

    def of_waiting(self) -> Iterator[ReviewSubject]:
        """The doubtful pairs that nobody has decided, in the order of `waiting`."""
        for start in range(0, len(self.waiting), BLOCK):
            ids = self.waiting.slice(start, BLOCK).to_pylist()
            yield from self.of([{"subject": "pair", "subject_id": id_} for id_ in ids])

    def _places(self, wanted: Sequence[_Parts]) -> Iterator[tuple[ReviewPlace | None, ...]]:
        """Places of object ids, or of photos with boxes."""
        flat = [part for parts in wanted for part in parts]
        things = self._objects.find([part if isinstance(part, str) else None for part in flat])
        boxes = [
            (thing["image_id"], Box.of_row(thing)) if thing else part
            for part, thing in zip(flat, things, strict=True)
        ]
        photos = self._images.find([None if isinstance(box, str) else box[0] for box in boxes])
        found = iter(
            ReviewPlace(box[0], box[1], photo["uri"])
            if photo and not isinstance(box, str)
            else None
            for box, photo in zip(boxes, photos, strict=True)
        )
        for parts in wanted:
            yield tuple(next(found) for _ in parts)


def _parts(decision: Row, pair: Row | None) -> _Parts:
    """Object ids, or a photo and a box, of what a decision is about."""
    if decision["subject"] == "pair":
        return [pair["anchor_id"], pair["other_id"]] if pair else []
    if decision["subject"] == "object":
        return [decision["subject_id"]]
    return [parse_box_id(decision["subject_id"])]


def _read(store: Store, table: str, columns: Sequence[str], ids: pa.ChunkedArray) -> pa.Table:
    """Rows of a table with these keys, the first of the columns."""
    return store.read(f"{table}@latest", columns, pc.field(columns[0]).isin(ids.unique()))

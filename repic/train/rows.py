"""A dataset version as rows that TRL takes: structured prompts, pictures, all epochs in order."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from repic.errors import DataError
from repic.images.coordinates import Box, Convention
from repic.images.decode import open_image
from repic.images.fetch import ImageRefused
from repic.objectives.base import Row, prompt_of, seed_of
from storage.errors import StoreError
from storage.manifest import Manifest
from storage.store import Store

if TYPE_CHECKING:
    import datasets

log = logging.getLogger(__name__)

KEPT_PICTURES = 256
"""Decoded pictures that are kept: those of a generation batch, which TRL asks for again."""

GREY = (128, 128, 128)


def examples_of(store: Store, ref: str) -> Manifest:
    """The examples that a reference means: a version of examples, or those a dataset binds.

    Raises:
        StoreError: there is no such version, or it has no examples.
    """
    manifest = store.manifest(ref)
    if manifest.kind == "dataset":
        bound = next((i.ref for i in manifest.inputs if i.name == "examples"), None)
        if bound is not None:
            return store.manifest(bound)
    elif manifest.kind == "table" and manifest.name == "examples":
        return manifest
    raise StoreError(f"{manifest.ref} has no training examples: give examples@v3, or a dataset.")


def read(store: Store, examples: Manifest, split: str) -> pa.Table:
    """Rows of one split, in the order of their ids.

    Raises:
        DataError: there is none.
    """
    rows = store.read(examples.ref, filter=pc.field("split") == split)
    if not rows.num_rows:
        found = sorted(set(store.read(examples.ref, ["split"])["split"].to_pylist()))
        has = f"it has {', '.join(found)}" if found else "it has no rows at all"
        raise DataError(f"{examples.ref} has no rows of the split {split}: {has}")
    return rows.sort_by("example_id")


def balanced(rows: pa.Table, per_objective: int, seed: int = 0) -> list[Row]:
    """At most so many rows of each objective, drawn by id, sorted by objective."""
    order = sorted(rows.to_pylist(), key=lambda r: seed_of(seed, r["example_id"]))
    chosen: dict[str, list[Row]] = {}
    for row in order:
        kept = chosen.setdefault(row["objective"], [])
        if len(kept) < per_objective:
            kept.append(row)
    return [row for objective in sorted(chosen) for row in chosen[objective]]


def chosen(rows: pa.Table, shares: Mapping[str, float], count: int, seed: int) -> pa.Table:
    """About `count` rows, with so large a share of each objective and at least one; drawn by id.

    Fewer where an objective has not rows enough: a share is kept, and no row is taken twice.

    Args:
        rows: Rows of the examples table.
        shares: By objective, of any sum; an objective without one is left out. Empty: as they are.

    Raises:
        DataError: no row is of an objective that has a share.
    """
    shares = shares or Counter(rows["objective"].to_pylist())
    places: dict[str, list[int]] = {}
    ids = rows["example_id"].to_pylist()
    for place in sorted(range(len(ids)), key=lambda i: (seed_of(seed, ids[i]), ids[i])):
        places.setdefault(rows["objective"][place].as_py(), []).append(place)
    wanted = {o: share for o, share in shares.items() if share > 0 and o in places}
    if not wanted:
        raise DataError(
            f"train.shares asks for {', '.join(shares)}, and there are rows of "
            f"{', '.join(sorted(places))}: give a share to one of these"
        )
    whole = sum(wanted.values())
    total = min(count, *(len(places[o]) * whole / share for o, share in wanted.items()))
    taken = [
        place
        for objective, share in wanted.items()
        for place in places[objective][: max(1, round(total * share / whole))]
    ]
    return rows.take(sorted(taken))


def lay_out(rows: pa.Table, count: int, seed: int) -> list[int]:
    """Places of `count` rows: epoch after epoch, each in an order of its own.

    Objectives are spread evenly over an epoch, so that every step sees each of them. TRL's sampler
    would draw the same order in each epoch, and a resume inside one would not find its place; laid
    out here, the order is a function of rows and seed alone.
    """
    ids, objectives = rows["example_id"].to_pylist(), rows["objective"].to_pylist()
    sizes = Counter(objectives)
    places: list[int] = []
    epoch = 0
    while len(places) < count:
        order = sorted(range(len(ids)), key=lambda i: (seed_of(seed, epoch, ids[i]), ids[i]))
        met: Counter[str] = Counter()
        at: dict[int, tuple[float, str]] = {}
        for place in order:
            objective = objectives[place]
            at[place] = ((met[objective] + 0.5) / sizes[objective], objective)
            met[objective] += 1
        places += sorted(order, key=lambda place: at[place])[: count - len(places)]
        epoch += 1
    return places


def dataset(rows: pa.Table, convention: Convention, places: Sequence[int]) -> datasets.Dataset:
    """Rows at these places as a map-style dataset of `prompt`, `images`, `row` and `unreadable`."""
    import datasets

    made = datasets.Dataset(rows.replace_schema_metadata(None)).select(places)
    return made.with_transform(Shown(convention))


class Shown:
    """Turns rows of the examples table into what TRL and the reward read.

    A batch asks for each row once per answer; every picture is opened once.
    """

    def __init__(self, convention: Convention) -> None:
        self.convention = convention
        self.album = Album()

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        names = list(batch)
        rows = [dict(zip(names, v, strict=True)) for v in zip(*batch.values(), strict=True)]
        seen: dict[str, tuple[list[Image.Image], str | None]] = {}
        for row in rows:
            if row["example_id"] not in seen:
                seen[row["example_id"]] = self.album.of_row(row)
        return {
            "prompt": [messages(row, self.convention) for row in rows],
            "images": [seen[row["example_id"]][0] for row in rows],
            "row": rows,
            "unreadable": [seen[row["example_id"]][1] for row in rows],
        }


def messages(row: Row, convention: Convention) -> list[dict[str, Any]]:
    """The prompt of a row as one turn of a user, with a block for each picture in its place."""
    blocks = [
        {"type": "image"} if block["type"] == "image" else {"type": "text", "text": block["text"]}
        for block in prompt_of(row, convention)
    ]
    return [{"role": "user", "content": blocks}]


class Album:
    """The last pictures that were asked for, decoded; threads may share one."""

    def __init__(self, size: int = KEPT_PICTURES) -> None:
        self._size = size
        self._lock = Lock()
        self._kept: OrderedDict[tuple[Any, ...], Image.Image] = OrderedDict()

    def __reduce__(self) -> tuple[type[Album], tuple[int]]:
        # `datasets` hashes a transform by pickling it, and a worker starts with no pictures.
        return Album, (self._size,)

    def of_row(self, row: Row) -> tuple[list[Image.Image], str | None]:
        """Pictures of a row in order of its prompt, and why one could not be shown, if so.

        A photo that is gone is shown as a grey one of its size, so that a run goes on; the answer
        to it is not scored.
        """
        shown, why = [], None
        for picture in row["images"]:
            try:
                shown.append(self.picture(picture))
            except (ImageRefused, OSError) as error:
                why = f"{picture['uri']}: {error}"
                log.warning("a picture of example %s is gone: %s", row["example_id"], why)
                x1, y1, x2, y2 = picture["crop"]
                size = (max(1, round(x2 - x1)), max(1, round(y2 - y1)))
                shown.append(Image.new("RGB", size, GREY))
        return shown, why

    def picture(self, picture: Row) -> Image.Image:
        """One entry of the `images` column: RGB, upright, cut to its crop.

        Raises:
            ImageRefused, OSError: it cannot be read any more.
        """
        crop = tuple(picture["crop"])
        key = (picture["uri"], crop)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        whole = (0.0, 0.0, float(picture["width"]), float(picture["height"]))
        made = open_image(picture["uri"], None if crop == whole else Box.of(crop))
        with self._lock:
            self._kept[key] = made
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return made

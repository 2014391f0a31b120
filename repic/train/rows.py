"""A dataset version as rows that TRL takes: structured prompts, pictures, all epochs in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from PIL import Image

from repic.errors import DataError
from repic.images.cache import PictureCache
from repic.images.coordinates import Convention
from repic.objectives.base import messages, seed_of

if TYPE_CHECKING:
    import datasets


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
        self.pictures = PictureCache()

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        names = list(batch)
        rows = [dict(zip(names, v, strict=True)) for v in zip(*batch.values(), strict=True)]
        seen: dict[str, tuple[list[Image.Image], str | None]] = {}
        for row in rows:
            if row["example_id"] not in seen:
                seen[row["example_id"]] = self.pictures.of_row(row)
        return {
            "prompt": [messages(row, self.convention) for row in rows],
            "images": [seen[row["example_id"]][0] for row in rows],
            "row": rows,
            "unreadable": [seen[row["example_id"]][1] for row in rows],
        }

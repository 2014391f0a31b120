"""Rows of the examples table as a dataset for TRL: their selection, order, prompts and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from PIL import Image

from repic.config import ResizeSettings
from repic.errors import DataError
from repic.images.cache import PictureCache
from repic.images.coordinates import Convention
from repic.objectives.base import Row, messages, seed_of

if TYPE_CHECKING:
    import datasets


def select_rows(rows: pa.Table, shares: Mapping[str, float], count: int, seed: int) -> pa.Table:
    """`count` rows with the given share of each objective, drawn by id.

    Every objective with a share gets at least one row, even if these are more than `count`. If an
    objective has too few rows, fewer rows are selected in total: shares are kept, and no row is
    selected twice.

    Args:
        rows: Rows of the examples table.
        shares: By objective, with any sum; an objective without a share is left out. Empty: the
            shares that the rows have.

    Raises:
        DataError: no row belongs to an objective that has a share.
    """
    shares = shares or Counter(rows["objective"].to_pylist())
    indices: dict[str, list[int]] = {}
    ids = rows["example_id"].to_pylist()
    for index in sorted(range(len(ids)), key=lambda i: (seed_of(seed, ids[i]), ids[i])):
        indices.setdefault(rows["objective"][index].as_py(), []).append(index)
    wanted = {o: Fraction(share) for o, share in shares.items() if share > 0 and o in indices}
    if not wanted:
        raise DataError(
            f"train.shares names {', '.join(shares)}, but the rows are of "
            f"{', '.join(sorted(indices))}: give a share to one of these"
        )
    share_sum = sum(wanted.values())
    limits = [len(indices[o]) * share_sum / share for o, share in wanted.items()]
    total = min(Fraction(count), *limits)
    parts = accumulate(wanted.values(), initial=Fraction(0))
    ends = [int(total * part / share_sum + Fraction(1, 2)) for part in parts]
    selected = [
        index
        for objective, (start, end) in zip(wanted, pairwise(ends), strict=True)
        for index in indices[objective][: max(1, end - start)]
    ]
    return rows.take(sorted(selected))


def epoch_order(rows: pa.Table, count: int, seed: int) -> list[int]:
    """Indices of `count` rows: epoch after epoch, each in its own order.

    Objectives are spread evenly over an epoch, so that every step sees each of them. TRL's sampler
    would repeat the same order in each epoch, and a resumed run would lose its position inside an
    epoch; this order depends on rows and seed alone.
    """
    ids, objectives = rows["example_id"].to_pylist(), rows["objective"].to_pylist()
    sizes = Counter(objectives)
    order: list[int] = []
    epoch = 0
    while len(order) < count:
        drawn = sorted(range(len(ids)), key=lambda i: (seed_of(seed, epoch, ids[i]), ids[i]))
        seen: Counter[str] = Counter()
        position: dict[int, tuple[float, str]] = {}
        for index in drawn:
            objective = objectives[index]
            position[index] = ((seen[objective] + 0.5) / sizes[objective], objective)
            seen[objective] += 1
        order += sorted(drawn, key=lambda index: position[index])[: count - len(order)]
        epoch += 1
    return order


def reduced_row(row: Row, resize: ResizeSettings) -> Row:
    """The row with the size to which its pictures are reduced (`QueryView`, `PictureCache`)."""
    side = resize.one if len(row["images"]) == 1 else resize.several
    if side is None:
        return row
    return {**row, "images": [{**picture, "short_side": side} for picture in row["images"]]}


def prompts(
    rows: pa.Table, convention: Convention, order: Sequence[int], resize: ResizeSettings
) -> datasets.Dataset:
    """A map-style dataset with the columns of `PromptTransform`, in the given order."""
    import datasets

    ordered = datasets.Dataset(rows.replace_schema_metadata(None)).select(order)
    return ordered.with_transform(PromptTransform(convention, resize))


class PromptTransform:
    """Turns rows of the examples table into `prompt`, `images`, `row` and `unreadable`.

    `unreadable` is why a picture of the row cannot be read, or None. A batch repeats each row once
    per answer; every picture is opened once.
    """

    def __init__(self, convention: Convention, resize: ResizeSettings) -> None:
        self.convention = convention
        self.resize = resize
        self.pictures = PictureCache(identified=True)

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        names = list(batch)
        rows = [
            reduced_row(dict(zip(names, values, strict=True)), self.resize)
            for values in zip(*batch.values(), strict=True)
        ]
        pictures: dict[str, tuple[list[Image.Image], str | None]] = {}
        for row in rows:
            if row["example_id"] not in pictures:
                pictures[row["example_id"]] = self.pictures.of_row(row)
        return {
            "prompt": [messages(row, self.convention) for row in rows],
            "images": [pictures[row["example_id"]][0] for row in rows],
            "row": rows,
            "unreadable": [pictures[row["example_id"]][1] for row in rows],
        }

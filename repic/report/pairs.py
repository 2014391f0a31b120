"""Pairs: how similar they are by band, and a few of them to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from repic.report.charts import BANDS, Histogram, histogram
from repic.report.choice import spread, varied
from repic.report.pictures import Shot
from repic.report.scenes import Thing, things
from repic.report.versions import Version

SHOWN = 12
"""Pairs per gallery."""
KINDS = ("positive", "negative")
COLUMNS = (
    *("pair_id", "kind", "origin", "band", "anchor_id", "other_id", "similarity"),
    *("percentile", "split", "doubtful", "review"),
)


@dataclass(frozen=True)
class Group:
    """The pairs of one kind and band.

    Attributes:
        similarity: Lowest, median and highest.
        percentile: Mean.
    """

    kind: str
    band: str
    count: int
    mined: int
    doubtful: int
    similarity: tuple[float, float, float]
    percentile: float


@dataclass(frozen=True)
class Card:
    """A pair side by side; `row` has the columns of `COLUMNS`."""

    row: dict
    anchor: Thing
    other: Thing


@dataclass(frozen=True)
class Pairs:
    """All that the page says of pairs.

    Attributes:
        waiting: Doubtful pairs that nobody decided on.
        reviewed: Pairs with a person's decision.
    """

    count: int
    positives: int
    negatives: int
    waiting: int
    reviewed: int
    chart: Histogram | None
    groups: tuple[Group, ...]
    gallery: tuple[Card, ...]
    hardest: tuple[Card, ...]
    doubtful: tuple[Card, ...]

    @property
    def shots(self) -> Iterator[Shot]:
        """Pictures of the galleries."""
        for card in (*self.gallery, *self.hardest, *self.doubtful):
            yield card.anchor.shot
            yield card.other.shot


def pairs(version: Version) -> Pairs:
    """Look through all pairs of a version."""
    table = version.read("pairs", COLUMNS).sort_by(
        [("similarity", "ascending"), ("pair_id", "ascending")]
    )
    kind, band = _texts(table, "kind"), _texts(table, "band")
    similarity = table["similarity"].to_numpy()
    review = table["review"].fill_null("").to_numpy(zero_copy_only=False)
    doubtful = table["doubtful"].to_numpy()
    sure = (~doubtful | (review == "accept")) & (review != "reject")
    once = _once(table)
    positive = kind == "positive"
    ascending = np.arange(table.num_rows)
    gallery = spread(ascending[positive & sure & once].tolist(), SHOWN * 4)
    hardest = ascending[~positive & sure & once & (band == "hard")][::-1]
    # What contradicts most comes first: unlike positives, alike negatives.
    waiting = doubtful & (review == "")
    odd = _alternating(ascending[positive & waiting & once], ascending[~positive & waiting & once])
    anchors, others = _texts(table, "anchor_id"), _texts(table, "other_id")

    def objects(place: int) -> tuple[str, str]:
        return anchors[place], others[place]

    chosen = [
        spread(varied(gallery, SHOWN * 4, objects), SHOWN),
        varied(hardest.tolist(), SHOWN, objects),
        varied(odd, SHOWN, objects),
    ]
    cards = _cards(version, table, chosen)
    return Pairs(
        count=table.num_rows,
        positives=int(positive.sum()),
        negatives=int((~positive).sum()),
        waiting=int(waiting.sum()),
        reviewed=int((review != "").sum()),
        chart=histogram(
            {(k, b): similarity[(kind == k) & (band == b)] for k in KINDS for b in BANDS}
        ),
        groups=tuple(_groups(table, kind, band)),
        gallery=cards[0],
        hardest=cards[1],
        doubtful=cards[2],
    )


def _texts(table: pa.Table, column: str) -> np.ndarray:
    return table[column].to_numpy(zero_copy_only=False)


def _once(table: pa.Table) -> np.ndarray:
    """Of a pair that is there in both directions, only the first."""
    anchors, others = _texts(table, "anchor_id"), _texts(table, "other_id")
    seen: set[tuple[str, str]] = set()
    first = np.zeros(table.num_rows, dtype=bool)
    for place, (anchor, other) in enumerate(zip(anchors, others, strict=True)):
        key = (anchor, other) if anchor < other else (other, anchor)
        first[place] = key not in seen
        seen.add(key)
    return first


def _alternating(positives: np.ndarray, negatives: np.ndarray) -> list[int]:
    """The least similar positives and the most similar negatives in turn."""
    turns = [*((n, 0, p) for n, p in enumerate(positives.tolist()))]
    turns += [(n, 1, p) for n, p in enumerate(negatives[::-1].tolist())]
    return [place for _, _, place in sorted(turns)]


def _groups(table: pa.Table, kind: np.ndarray, band: np.ndarray) -> Iterator[Group]:
    similarity, percentile = table["similarity"].to_numpy(), table["percentile"].to_numpy()
    mined, doubtful = _texts(table, "origin") == "mined", table["doubtful"].to_numpy()
    for k in KINDS:
        for b in BANDS:
            part = (kind == k) & (band == b)
            if part.any():
                low, middle, high = np.quantile(similarity[part], [0, 0.5, 1]).tolist()
                yield Group(
                    k,
                    b,
                    int(part.sum()),
                    int((part & mined).sum()),
                    int((part & doubtful).sum()),
                    (low, middle, high),
                    float(percentile[part].mean()),
                )


def _cards(
    version: Version, table: pa.Table, chosen: list[list[int]]
) -> list[tuple[Card, ...]]:
    rows = [table.take(places).to_pylist() for places in map(_indices, chosen)]
    wanted = {row[side] for group in rows for row in group for side in ("anchor_id", "other_id")}
    known = things(version, wanted)
    return [
        tuple(Card(row, known[row["anchor_id"]], known[row["other_id"]]) for row in group)
        for group in rows
    ]


def _indices(places: list[int]) -> pa.Array:
    return pa.array(places, pa.int64())

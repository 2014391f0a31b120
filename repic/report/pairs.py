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
    waiting = doubtful & (review == "")
    positive = kind == "positive"
    anchors, others = _texts(table, "anchor_id"), _texts(table, "other_id")

    def once(chosen: np.ndarray) -> list[int]:
        """Places in ascending similarity; a pair that is there in both directions counts once."""
        places = np.flatnonzero(chosen).tolist()
        return list({frozenset((anchors[p], others[p])): p for p in places}.values())

    def objects(place: int) -> tuple[str, str]:
        return anchors[place], others[place]

    hardest = once(~positive & sure & (band == "hard"))[::-1]
    # What contradicts most comes first: unlike positives, alike negatives.
    odd = _in_turn(once(positive & waiting), once(~positive & waiting)[::-1])
    chosen = [
        spread(once(positive & sure), SHOWN),
        varied(hardest, SHOWN, objects),
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


def _in_turn(*lists: list[int]) -> list[int]:
    """The first of each list, then the second of each, and so on."""
    turns = (
        (turn, which, p) for which, places in enumerate(lists) for turn, p in enumerate(places)
    )
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


def _cards(version: Version, table: pa.Table, chosen: list[list[int]]) -> list[tuple[Card, ...]]:
    rows = [table.take(places).to_pylist() for places in map(_indices, chosen)]
    wanted = {row[side] for group in rows for row in group for side in ("anchor_id", "other_id")}
    known = things(version, wanted)
    return [
        tuple(Card(row, known[row["anchor_id"]], known[row["other_id"]]) for row in group)
        for group in rows
    ]


def _indices(places: list[int]) -> pa.Array:
    return pa.array(places, pa.int64())

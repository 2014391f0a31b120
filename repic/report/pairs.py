"""The section on pairs: similarity by band, and galleries."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from repic.report.charts import BANDS, Histogram, histogram
from repic.report.dataset import DatasetVersion
from repic.report.pictures import PagePicture, box_of, diverse, evenly_spaced

GALLERY_SIZE = 12
"""Pairs per gallery."""
KINDS = ("positive", "negative")
COLUMNS = (
    *("pair_id", "kind", "origin", "band", "anchor_id", "other_id", "similarity"),
    *("percentile", "split", "doubtful", "review"),
)


@dataclass(frozen=True)
class _BandSummary:
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
class _ObjectCrop:
    picture: PagePicture
    label: str
    identity: str | None


@dataclass(frozen=True)
class _PairCard:
    """A pair side by side; `row` has the columns of `COLUMNS`."""

    row: dict
    anchor: _ObjectCrop
    other: _ObjectCrop


@dataclass(frozen=True)
class PairsSection:
    """Contents of the section on pairs.

    Attributes:
        waiting: Doubtful pairs without a decision.
        reviewed: Pairs with a decision.
        bands: Statistics by kind and band.
        gallery: Positives.
        hardest: The most similar negatives.
        doubtful: Pairs that wait for a decision.
    """

    count: int
    positives: int
    negatives: int
    waiting: int
    reviewed: int
    chart: Histogram | None
    bands: tuple[_BandSummary, ...]
    gallery: tuple[_PairCard, ...]
    hardest: tuple[_PairCard, ...]
    doubtful: tuple[_PairCard, ...]

    @property
    def pictures(self) -> Iterator[PagePicture]:
        """Pictures of the galleries."""
        for card in (*self.gallery, *self.hardest, *self.doubtful):
            yield card.anchor.picture
            yield card.other.picture


def pairs_section(version: DatasetVersion) -> PairsSection:
    """Summarize all pairs of a version."""
    table = version.read("pairs", COLUMNS).sort_by(
        [("similarity", "ascending"), ("pair_id", "ascending")]
    )
    kind, band = _texts(table, "kind"), _texts(table, "band")
    similarity = table["similarity"].to_numpy()
    review = table["review"].fill_null("").to_numpy(zero_copy_only=False)
    doubtful = table["doubtful"].to_numpy()
    usable = (~doubtful | (review == "accept")) & ~np.isin(review, ("reject", "disputed"))
    waiting = doubtful & (review == "")
    positive = kind == "positive"
    anchors, others = _texts(table, "anchor_id"), _texts(table, "other_id")

    def once(chosen: np.ndarray) -> list[int]:
        """Row indices by ascending similarity; a pair in both directions counts once."""
        indices = np.flatnonzero(chosen).tolist()
        return list({frozenset((anchors[i], others[i])): i for i in indices}.values())

    def objects(index: int) -> tuple[str, str]:
        return anchors[index], others[index]

    hardest = once(~positive & usable & (band == "hard"))[::-1]
    # The strongest contradictions first: dissimilar positives, similar negatives.
    suspicious = _alternating(once(positive & waiting), once(~positive & waiting)[::-1])
    galleries = [
        evenly_spaced(once(positive & usable), GALLERY_SIZE),
        diverse(hardest, GALLERY_SIZE, objects),
        diverse(suspicious, GALLERY_SIZE, objects),
    ]
    cards = _cards(version, table, galleries)
    return PairsSection(
        count=table.num_rows,
        positives=int(positive.sum()),
        negatives=int((~positive).sum()),
        waiting=int(waiting.sum()),
        reviewed=int((review != "").sum()),
        chart=histogram(
            {(k, b): similarity[(kind == k) & (band == b)] for k in KINDS for b in BANDS}
        ),
        bands=tuple(_bands(table, kind, band)),
        gallery=cards[0],
        hardest=cards[1],
        doubtful=cards[2],
    )


def _texts(table: pa.Table, column: str) -> np.ndarray:
    return table[column].to_numpy(zero_copy_only=False)


def _alternating(*lists: list[int]) -> list[int]:
    """The first of each list, then the second of each, and so on."""
    return [item for row in itertools.zip_longest(*lists) for item in row if item is not None]


def _bands(table: pa.Table, kind: np.ndarray, band: np.ndarray) -> Iterator[_BandSummary]:
    similarity, percentile = table["similarity"].to_numpy(), table["percentile"].to_numpy()
    mined, doubtful = _texts(table, "origin") == "mined", table["doubtful"].to_numpy()
    for k in KINDS:
        for b in BANDS:
            part = (kind == k) & (band == b)
            if part.any():
                low, middle, high = np.quantile(similarity[part], [0, 0.5, 1]).tolist()
                yield _BandSummary(
                    k,
                    b,
                    int(part.sum()),
                    int((part & mined).sum()),
                    int((part & doubtful).sum()),
                    (low, middle, high),
                    float(percentile[part].mean()),
                )


def _cards(
    version: DatasetVersion, table: pa.Table, galleries: list[list[int]]
) -> list[tuple[_PairCard, ...]]:
    rows = [table.take(pa.array(indices, pa.int64())).to_pylist() for indices in galleries]
    ids = {row[side] for gallery in rows for row in gallery for side in ("anchor_id", "other_id")}
    crops = _object_crops(version, ids)
    return [
        tuple(_PairCard(row, crops[row["anchor_id"]], crops[row["other_id"]]) for row in gallery)
        for gallery in rows
    ]


def _object_crops(
    version: DatasetVersion, object_ids: Collection[str]
) -> Mapping[str, _ObjectCrop]:
    objects = version.rows("objects", "object_id", object_ids)
    uris = version.photo_uris({row["image_id"] for row in objects})
    labels = version.labels(objects)
    return {
        row["object_id"]: _ObjectCrop(
            PagePicture(row["image_id"], uris[row["image_id"]], box_of(row)),
            labels[row["object_id"]],
            row["identity"],
        )
        for row in objects
    }

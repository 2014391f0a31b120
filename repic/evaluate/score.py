"""From the captions table to the tables of scores and metrics.

Names are read against one pool, that of the whole evaluation, so that a mean over `scores` is what
`metrics` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from repic.evaluate import strict
from repic.evaluate.intervals import gather, intervals
from repic.evaluate.metrics import Score, measure
from repic.evaluate.name_index import Names
from repic.evaluate.quality import quality
from repic.evaluate.questions import record
from repic.evaluate.records import Record
from repic.evaluate.retrieval import Crop, Near, accepted, counted
from repic.tables import TABLES

ALL = "all"
"""Stands for all parts of a suite together."""

VERSION = 2
"""Raised by hand when the same captions would get other numbers."""

Row = Mapping[str, Any]
RETRIEVAL = {
    "hit_rate": "concept in a photo",
    "right_share": "name found",
    "false_accept_rate": "crop",
}


def scores(captions: pa.Table, fits: Mapping[str, float | None] | None = None) -> pa.Table:
    """One row per caption; see the scores table.

    Args:
        fits: caption_id -> CLIPScore; None where the encoder reads no texts.
    """
    rows = captions.to_pylist()
    records = [record(row) for row in rows]
    names = _names(records)
    return TABLES["scores"].table(
        [
            _score(row, one, names) | {"clip_score": fits[row["caption_id"]] if fits else None}
            for row, one in zip(rows, records, strict=True)
        ]
    )


def _names(records: Iterable[Record]) -> Names:
    return Names({name for one in records for name in (*one.concepts, *one.given)})


def _score(row: Row, one: Record, names: Names) -> dict[str, Any]:
    top, bottom = strict.tally(one, names)
    precision, recall, f1, exact, wrong, false, right = top
    claims = bottom[-1]
    return {
        **{key: row[key] for key in _SHARED},
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "exact": bool(exact),
        "extra_names": int(wrong),
        "false_mention": bool(false) if bottom[-2] else None,
        "claims": int(claims),
        "right_claims": int(right),
        "reason": _reason(one, bool(false), int(wrong), float(recall), int(claims - right)),
    }


_SHARED = ("caption_id", "question_id", "suite", "part", "protocol", "image_id")


def _reason(one: Record, false: bool, wrong: int, recall: float, misbound: int) -> str:
    """The first fault of a caption, the worst first."""
    if not one.caption.strip():
        return "empty"
    if len(one.caption) > strict.MAX_CAPTION:
        return "long"
    if false:
        return "absent_named"
    if wrong:
        return "wrong_name"
    if recall < 1 and one.concepts:
        return "missing_name"
    return "wrong_object" if misbound else "right"


def counts(row: Row) -> tuple[str, tuple[float, ...], tuple[float, ...]]:
    """What a row of scores adds to each column of the strict metric, as `strict.tally` counts."""
    false = row["false_mention"]
    top = (row["precision"], row["recall"], row["f1"], row["exact"], row["extra_names"])
    return (
        row["image_id"],
        (*map(float, top), float(bool(false)), float(row["right_claims"])),
        (1.0, 1.0, 1.0, 1.0, 1.0, float(false is not None), float(row["claims"])),
    )


def strict_scores(rows: Sequence[Row]) -> dict[str, Score]:
    """The strict metric of rows of the scores table, with intervals clustered by photo."""
    return _scored(map(counts, rows), strict.COLUMNS, strict.UNITS)


def metrics(captions: pa.Table, scored: pa.Table, threshold: float | None) -> pa.Table:
    """The metrics table: each protocol, each part of the suite and all of them.

    Args:
        threshold: Of retrieval; None where nothing was searched.
    """
    asked, judged = captions.to_pylist(), scored.to_pylist()
    by_id = {row["caption_id"]: row for row in asked}
    made = []
    for protocol in sorted({row["protocol"] for row in asked}):
        ours = [row for row in judged if row["protocol"] == protocol]
        parts = sorted({row["part"] for row in ours})
        for part in [ALL, *parts] if len(parts) > 1 else parts or [ALL]:
            kept = [row for row in ours if part in (ALL, row["part"])]
            rows = [by_id[row["caption_id"]] for row in kept]
            found = {"strict": strict_scores(kept)}
            records = [record(row) for row in rows]
            if part != ALL and all(one.concepts for one in records):
                found["paper"] = measure(records, "paper").scores
            if part == ALL or len(parts) == 1:
                found["quality"] = quality(records, None) | _fit(kept)
            if protocol.startswith("retrieval") and threshold is not None:
                found["retrieval"] = _retrieval(rows, protocol, threshold)
            made += [
                {
                    **{key: rows[0][key] for key in ("model", "suite", "protocol")},
                    "part": part,
                    "metric": metric,
                    "score": name,
                    "value": score.value,
                    "low": score.low,
                    "high": score.high,
                    "n": score.n,
                    "unit": score.unit,
                }
                for metric, named in found.items()
                for name, score in named.items()
            ]
    return TABLES["metrics"].table(made)


def _fit(rows: Sequence[Row]) -> dict[str, Score]:
    """Mean CLIPScore of rows of the scores table; None where no caption has one."""
    counted_rows = (
        (row["image_id"], (row["clip_score"] or 0.0,), (float(row["clip_score"] is not None),))
        for row in rows
    )
    return _scored(counted_rows, ("clip_score",), ("caption",))


def crops_of(row: Row) -> list[Crop]:
    """The crops of a row of the captions table."""
    return [
        Crop(
            tuple(crop["box"]),
            crop["label"],
            crop["confidence"],
            tuple(Near(n["name"], round(n["similarity"], 4)) for n in crop["nearest"]),
        )
        for crop in row["crops"]
    ]


def _retrieval(rows: Sequence[Row], protocol: str, threshold: float) -> dict[str, Score]:
    """What was found, whatever the model made of it; a photo that is asked twice counts once."""
    counted_rows = []
    for row in {(row["image_id"], *row["concepts"]): row for row in rows}.values():
        crops, present = crops_of(row), row["concepts"]
        if protocol == "retrieval":
            names = accepted(crops, threshold)
            _, _, false, strangers, _ = counted(present, crops, threshold)
        else:
            names, false, strangers = [r["name"] for r in row["references"]], 0, 0
        hits = len(set(names) & set(present))
        top, bottom = (hits, hits, false), (len(present), len(names), strangers)
        counted_rows.append((row["image_id"], top, bottom))
    found = _scored(counted_rows, tuple(RETRIEVAL), tuple(RETRIEVAL.values()))
    return {name: score for name, score in found.items() if score.n}


def _scored(
    rows: Iterable[tuple[str, Sequence[float], Sequence[float]]],
    columns: Sequence[str],
    units: Sequence[str],
) -> dict[str, Score]:
    sums = gather(rows, len(columns))
    bounds: Sequence[tuple[float | None, float | None]]
    bounds = intervals(sums) if len(sums.photos) > 1 else [(None, None)] * len(columns)
    counted_units = [int(n) for n in sums.bottom.sum(axis=0)]
    return {
        name: Score(value, low, high, n, unit)
        for name, value, (low, high), n, unit in zip(
            columns, sums.ratios, bounds, counted_units, units, strict=True
        )
    }

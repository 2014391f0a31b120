"""The tables of scores and metrics, computed from the captions table.

All captions of an evaluation are read against one name index, so that a mean over rows of `scores`
equals the value in `metrics`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import pyarrow as pa

from repic.evaluation import name_accuracy
from repic.evaluation.caption_facts import ConceptFacts, WordReader, fact_scores
from repic.evaluation.caption_quality import text_quality
from repic.evaluation.intervals import Estimate, sum_by_photo
from repic.evaluation.metrics import measure
from repic.evaluation.name_index import NameIndex
from repic.evaluation.questions import record_of
from repic.evaluation.records import Record
from repic.evaluation.reference_scores import reference_scores
from repic.evaluation.retrieval import DetectedCrop, Match, count_matches, names_above
from repic.tables import TABLES
from storage.hashing import fingerprint

ALL = "all"
"""The `part` of rows that cover all parts of a suite."""

VERSION = 7
"""Version of the scoring: raise it when the same captions would get different numbers."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Known:
    """What is known beside the captions.

    Attributes:
        threshold: Of retrieval; None if no protocol retrieves.
        facts: About the concepts of the suite.
        references: image_id -> reference captions; None if there are none.
    """

    threshold: float | None
    facts: ConceptFacts
    references: Mapping[str, Sequence[str]] | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of what can change a score, beside the threshold."""
        facts = {name: [astuple(fact) for fact in facts] for name, facts in self.facts.items()}
        return fingerprint([facts, dict(self.references or {})])


RETRIEVAL = {
    "hit_rate": "concept in a photo",
    "right_share": "name found",
    "false_accept_rate": "crop",
}
"""Score of retrieval -> what its denominator counts."""


def scores_table(captions: pa.Table, clip_scores: Mapping[str, float | None] | None) -> pa.Table:
    """The scores table, one row per caption.

    Args:
        clip_scores: caption_id -> CLIPScore; None if the encoder reads no texts.
    """
    rows = captions.to_pylist()
    records = [record_of(row) for row in rows]
    names = NameIndex({name for r in records for name in (*r.concepts, *r.given)})
    return TABLES["scores"].table(
        [
            _score(row, record, names)
            | {"clip_score": clip_scores[row["caption_id"]] if clip_scores else None}
            for row, record in zip(rows, records, strict=True)
        ]
    )


def _score(row: Row, record: Record, names: NameIndex) -> dict[str, Any]:
    top, bottom = name_accuracy.strict_counts(record, names)
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
        "reason": _reason(record, bool(false), int(wrong), float(recall), int(claims - right)),
    }


_SHARED = ("caption_id", "question_id", "suite", "part", "protocol", "image_id")


def _reason(record: Record, false: bool, wrong: int, recall: float, wrong_claims: int) -> str:
    """The worst error of a caption, as in the `reason` column."""
    if not record.caption.strip():
        return "empty"
    if len(record.caption) > name_accuracy.MAX_CAPTION:
        return "long"
    if false:
        return "absent_named"
    if wrong:
        return "wrong_name"
    if recall < 1 and record.concepts:
        return "missing_name"
    return "wrong_object" if wrong_claims else "right"


def counts_of_row(row: Row) -> tuple[str, tuple[float, ...], tuple[float, ...]]:
    """Photo, numerators and denominators of a row of the scores table.

    The columns are those of `repic.evaluation.name_accuracy.COLUMNS`.
    """
    false = row["false_mention"]
    top = (row["precision"], row["recall"], row["f1"], row["exact"], row["extra_names"])
    return (
        row["image_id"],
        (*map(float, top), float(bool(false)), float(row["right_claims"])),
        (1.0, 1.0, 1.0, 1.0, 1.0, float(false is not None), float(row["claims"])),
    )


def metrics_table(captions: pa.Table, scores: pa.Table, known: Known) -> pa.Table:
    """The metrics table: for each protocol all parts of the suite together, and each part.

    Raises:
        CaptionError: A photo has no reference caption, although others have.
    """
    caption_rows, score_rows = captions.to_pylist(), scores.to_pylist()
    by_id = {row["caption_id"]: row for row in caption_rows}
    metric_rows = []
    for protocol in sorted({row["protocol"] for row in caption_rows}):
        of_protocol = [row for row in score_rows if row["protocol"] == protocol]
        parts = sorted({row["part"] for row in of_protocol})
        for part in [ALL, *parts] if len(parts) > 1 else parts or [ALL]:
            selected = [row for row in of_protocol if part in (ALL, row["part"])]
            rows = [by_id[row["caption_id"]] for row in selected]
            records = [record_of(row) for row in rows]
            columns, units = name_accuracy.COLUMNS, name_accuracy.UNITS
            metrics = {"strict": _estimates(map(counts_of_row, selected), columns, units)}
            if part != ALL and all(record.concepts for record in records):
                metrics["paper"] = measure(records, "paper").scores
            if part == ALL or len(parts) == 1:
                metrics["quality"] = text_quality(records) | _mean_clip_score(selected)
                metrics["facts"] = fact_scores(records, known.facts, WordReader())
                if known.references is not None:
                    metrics["reference"] = reference_scores(records, known.references)
            if protocol.startswith("retrieval") and known.threshold is not None:
                metrics["retrieval"] = _retrieval(rows, protocol, known.threshold)
            of = {key: rows[0][key] for key in ("model", "suite", "protocol")}
            metric_rows += [
                {**of, "part": part, "metric": metric, "score": name, **asdict(estimate)}
                for metric, estimates in metrics.items()
                for name, estimate in estimates.items()
            ]
    return TABLES["metrics"].table(metric_rows)


def _mean_clip_score(rows: Sequence[Row]) -> dict[str, Estimate]:
    counts = (
        (row["image_id"], (row["clip_score"] or 0.0,), (float(row["clip_score"] is not None),))
        for row in rows
    )
    return _estimates(counts, ("clip_score",), ("caption",))


def _retrieval(rows: Sequence[Row], protocol: str, threshold: float) -> dict[str, Estimate]:
    """Retrieval apart from captions; a photo with several questions counts once per concept set."""
    counts = []
    in_photo: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        in_photo[row["image_id"]].update(row["concepts"])
    for row in {(row["image_id"], *row["concepts"]): row for row in rows}.values():
        crops, present = _crops(row), row["concepts"]
        if protocol == "retrieval":
            names = names_above(crops, threshold)
            matches = count_matches(present, crops, threshold, [*in_photo[row["image_id"]]])
            false, chances = matches.false_accepts, matches.chances
        else:
            names, false, chances = [r["name"] for r in row["references"]], 0, 0
        hits = len(set(names) & set(present))
        counts.append((row["image_id"], (hits, hits, false), (len(present), len(names), chances)))
    estimates = _estimates(counts, tuple(RETRIEVAL), tuple(RETRIEVAL.values()))
    return {name: estimate for name, estimate in estimates.items() if estimate.n}


def _crops(row: Row) -> list[DetectedCrop]:
    return [
        DetectedCrop(
            tuple(crop["box"]),
            crop["label"],
            crop["confidence"],
            tuple(Match(m["name"], round(m["similarity"], 4)) for m in crop["nearest"]),
        )
        for crop in row["crops"]
    ]


def _estimates(
    counts: Iterable[tuple[str, Sequence[float], Sequence[float]]],
    columns: Sequence[str],
    units: Sequence[str],
) -> dict[str, Estimate]:
    estimates = sum_by_photo(counts, len(columns)).estimates(units)
    return dict(zip(columns, estimates, strict=True))

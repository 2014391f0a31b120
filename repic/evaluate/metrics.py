"""Captions in, a report out: which metric, over what, and how sure.

Records may be any iterable that can be walked more than once: a list, or a `CaptionFile`, which
keeps none of them. The first walk finds the known names, the second one counts.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from repic.errors import CaptionError
from repic.evaluate import paper, strict
from repic.evaluate.intervals import FEW, Difference, Sums, compare, gather, intervals
from repic.evaluate.name_index import Names
from repic.evaluate.parallel import each
from repic.evaluate.records import Record

Metric = Literal["paper", "strict"]
PAPER_COLUMNS = ("precision", "recall", "f1")
PAPER_UNITS = ("answered truth", "truth", "truth")
MANY = 20_000
"""Captions from which on it pays to start processes."""

_SEEN = 1_000_000


@dataclass(frozen=True)
class Score:
    """One number of a report.

    Attributes:
        value: None where nothing could be measured.
        low, high: 95 % bootstrap interval, clustered by photo; None for fewer than two photos.
        n: How many `unit`s it is a mean over.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str

    def as_json(self) -> dict[str, Any]:
        interval = None if self.low is None else [self.low, self.high]
        return {"value": self.value, "interval": interval, "n": self.n, "unit": self.unit}


@dataclass(frozen=True)
class Report:
    """The scores of one file.

    Attributes:
        concepts: Which of the released scripts: that for so many concepts per photo.
        remarks: What a reader must know before trusting the numbers.
    """

    metric: Metric
    captions: int
    photos: int
    concepts: int
    scores: dict[str, Score]
    remarks: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """`precision`, `recall` and `f1` in 0..1; for the strict metric also n and intervals."""
        found: dict[str, Any] = {key: self.scores[key].value for key in PAPER_COLUMNS}
        if self.metric == "strict":
            found |= {
                "metric": self.metric,
                "n": self.captions,
                "photos": self.photos,
                "concepts": self.concepts,
                "scores": {name: score.as_json() for name, score in self.scores.items()},
                "remarks": self.remarks,
            }
        return found


@dataclass(frozen=True)
class Comparison:
    """Two models on the same tasks.

    Attributes:
        differences: Second minus first; see `repic.evaluate.intervals.Difference`.
        left_out: Captions of either that have no counterpart.
    """

    first: Report
    second: Report
    differences: dict[str, Difference]
    left_out: int


def measure(
    records: Iterable[Record], metric: Metric, concepts: int | None = None, workers: int = 1
) -> Report:
    """Score captions.

    Args:
        concepts: Which released script, by the concepts of a row; None: read from the rows.
        workers: Processes that read where there are more than `MANY` captions.

    Raises:
        CaptionError: there are no captions, or a row cannot be read.
    """
    known = _survey(records)
    scorer = _Scorer(metric, known, concepts)
    asked = workers if known.counts.total() > MANY else 1
    sums = gather(each(scorer.row, records, asked), len(scorer.columns))
    return scorer.report(sums, known)


def compare_models(
    first: Iterable[Record],
    second: Iterable[Record],
    metric: Metric,
    concepts: int | None = None,
) -> Comparison:
    """Score the captions of two models on the tasks that both have, and test the difference.

    A task is a photo with its truths and references; its n-th caption in one file is paired with
    its n-th in the other. Names known to either count as known to both.

    Raises:
        CaptionError: as `measure`, or nothing can be paired.
    """
    counts = [Counter(record.task for record in records) for records in (first, second)]
    common = counts[0] & counts[1]
    if not common:
        raise CaptionError(
            "the two files share no task (a photo with the same concepts and references); compare "
            "captions of the same photos"
        )
    known = _survey(chain(_first_of(first, common), _first_of(second, common)))
    scorer = _Scorer(metric, known, concepts)
    sums = [
        gather(
            map(scorer.row, _first_of(records, common)),
            len(scorer.columns),
        )
        for records in (first, second)
    ]
    reports = [scorer.report(part, known, is_half=True) for part in sums]
    differences = dict(zip(scorer.columns, compare(sums[0], sums[1]), strict=True))
    left_out = sum(c.total() for c in counts) - 2 * common.total()
    return Comparison(reports[0], reports[1], differences, left_out)


def _first_of(records: Iterable[Record], common: Counter[Any]) -> Iterator[Record]:
    """Records of common tasks, each task as often as it is common."""
    left = common.copy()
    for record in records:
        if left[record.task] > 0:
            left[record.task] -= 1
            yield record


@dataclass
class _Known:
    """What one walk over the records finds."""

    truths: set[str] = field(default_factory=set)
    firsts: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    counts: Counter[int] = field(default_factory=Counter)
    duplicates: int = 0
    empty: int = 0
    long: int = 0


def _survey(records: Iterable[Record]) -> _Known:
    known = _Known()
    seen: set[bytes] = set()
    for record in records:
        known.truths.update(record.concepts)
        known.firsts.update(record.concepts[:1])
        known.given.update(record.given)
        known.counts[len(record.concepts)] += 1
        known.empty += not record.caption.strip()
        known.long += len(record.caption) > strict.MAX_CAPTION
        if len(seen) < _SEEN:
            said = repr((record.task, record.prompt, record.caption)).encode(errors="replace")
            digest = hashlib.blake2b(said, digest_size=8).digest()
            known.duplicates += digest in seen
            seen.add(digest)
    if not known.counts:
        raise CaptionError("there are no captions to measure; give at least one row")
    return known


class _Scorer:
    """One metric over one set of known names."""

    def __init__(self, metric: Metric, known: _Known, concepts: int | None) -> None:
        if concepts is not None and concepts < 1:
            raise CaptionError(f"--concepts is {concepts}; give 1, 2 or 4, or leave it out")
        self.metric = metric
        self.columns: tuple[str, ...] = PAPER_COLUMNS
        self.units: tuple[str, ...] = PAPER_UNITS
        self.rule = paper.rule_of(known.counts) if concepts is None else paper.Rule(concepts)
        self.is_told = concepts is not None
        if metric == "paper":
            written = known.firsts if self.rule.takes_first else known.truths
            self._pool = paper.pool_of(written, self.rule)
        else:
            self._names = Names(known.truths | known.given)
            self.columns, self.units = strict.COLUMNS, strict.UNITS

    def row(self, record: Record) -> tuple[str, Sequence[float], Sequence[float]]:
        """The record's photo, and what it adds to each column."""
        return record.photo, *self.tally(record)

    def tally(self, record: Record) -> tuple[Sequence[float], Sequence[float]]:
        if self.metric == "strict":
            return strict.tally(record, self._names)
        hits, named, truths = paper.tally(record, self._pool, self.rule)
        return (hits, hits, 2 * hits), (named, truths, named + truths)

    def report(self, sums: Sums, known: _Known, is_half: bool = False) -> Report:
        counted = [int(n) for n in sums.bottom.sum(axis=0)]
        values = sums.ratios
        bounds: Sequence[tuple[float | None, float | None]]
        bounds = intervals(sums) if len(sums.photos) > 1 else [(None, None)] * len(values)
        if self.metric == "paper":
            counted[2] = counted[1]
            values = [value or 0.0 for value in values]  # the scripts write 0 for 0 / 0
        scores = {
            name: Score(value, low, high, n, unit)
            for name, value, (low, high), n, unit in zip(
                self.columns, values, bounds, counted, self.units, strict=True
            )
        }
        remarks = [] if is_half else self._remarks(known)
        if len(sums.photos) < FEW:
            remarks.append(f"{len(sums.photos)} photos are too few for a trustworthy interval")
        return Report(self.metric, sums.rows, len(sums.photos), self.rule.concepts, scores, remarks)

    def _remarks(self, known: _Known) -> list[str]:
        said = []
        if known.duplicates:
            said.append(f"{known.duplicates} rows repeat an earlier one; each counts")
        if known.empty:
            said.append(f"{known.empty} captions are empty; they name nobody")
        if known.long and self.metric == "strict":
            said.append(
                f"{known.long} captions are longer than {strict.MAX_CAPTION} characters; they "
                "count as wrong"
            )
        if self.metric == "paper" and len(known.counts) > 1 and not self.is_told:
            sizes = ", ".join(map(str, sorted(known.counts)))
            said.append(
                f"rows have {sizes} concepts; scored as the script for {self.rule.concepts}, "
                "--concepts names another"
            )
        return said

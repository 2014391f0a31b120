"""Scores of caption files by the strict or the paper's metric, and a test between two models.

Records may be any iterable that can be iterated twice: a list, or a `CaptionFile`, which keeps
none of them. The first pass collects the known names, the second one counts.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal, TypeVar

from repic.errors import CaptionError
from repic.evaluation import name_accuracy
from repic.evaluation.intervals import (
    FEW,
    Difference,
    Estimate,
    PhotoSums,
    paired_test,
    sum_by_photo,
)
from repic.evaluation.name_index import NameIndex
from repic.evaluation.records import Record
from repic.models.devices import batched

Metric = Literal["paper", "strict"]
PAPER_COLUMNS = ("precision", "recall", "f1")
PAPER_UNITS = ("answered truth", "truth", "truth")
MANY = 20_000
"""Number of captions above which worker processes pay off."""

COUNTS = ("length", "extra_names", "clip_score", "cider")
"""Scores that are not shares, and so are not printed in per cent."""

_MAX_DIGESTS = 1_000_000
_CHUNK = 2_000
"""Records per task of a worker process."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class CaptionScores:
    """The scores of one caption file.

    Attributes:
        concepts: Which released script the paper's metric follows, by its concepts per photo.
        remarks: What a reader must know before trusting the numbers.
    """

    metric: Metric
    captions: int
    photos: int
    concepts: int
    scores: dict[str, Estimate]
    remarks: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """`precision`, `recall` and `f1` in 0..1; under `scores` all with n and interval."""
        return {
            **{key: self.scores[key].value for key in PAPER_COLUMNS},
            "metric": self.metric,
            "n": self.captions,
            "photos": self.photos,
            "concepts": self.concepts,
            "scores": {name: score.as_json() for name, score in self.scores.items()},
            "remarks": self.remarks,
        }


@dataclass(frozen=True)
class CaptionComparison:
    """Two models on the same tasks.

    Attributes:
        differences: Second minus first, by score.
        left_out: Captions of either model without a counterpart.
    """

    first: CaptionScores
    second: CaptionScores
    differences: dict[str, Difference]
    left_out: int


def measure(
    records: Iterable[Record], metric: Metric, concepts: int | None = None, workers: int = 1
) -> CaptionScores:
    """Score captions.

    Args:
        concepts: Which released script to follow, by concepts per row; None: read from the rows.
        workers: Processes to use for more than `MANY` captions.

    Raises:
        CaptionError: There are no captions, or a row cannot be read.

    Example:
        >>> measure(CaptionFile(Path("captions.json")), "strict").scores["f1"]
        Estimate(value=0.726, low=0.701, high=0.75, n=340, unit='caption')
    """
    contents = _scan(records)
    scorer = _Scorer(metric, contents, concepts)
    processes = workers if contents.sizes.total() > MANY else 1
    rows = _parallel_map(scorer.row, records, processes)
    return scorer.summarize(sum_by_photo(rows, len(scorer.columns)), contents)


def compare_models(
    first: Iterable[Record],
    second: Iterable[Record],
    metric: Metric,
    concepts: int | None = None,
) -> CaptionComparison:
    """Score the captions of two models on their common tasks, and test the difference.

    A task is a photo with its true names and its references. The n-th caption of a task in one
    file is paired with the n-th in the other. Names known to one file count as known to both.

    Raises:
        CaptionError: As `measure`, or the files share no task.
    """
    counts = [Counter(record.task for record in records) for records in (first, second)]
    common = counts[0] & counts[1]
    if not common:
        raise CaptionError(
            "the two files share no task (a photo with the same concepts and references); compare "
            "captions of the same photos"
        )
    contents = _scan(chain(_of_tasks(first, common), _of_tasks(second, common)))
    scorer = _Scorer(metric, contents, concepts)
    sums = [
        sum_by_photo(map(scorer.row, _of_tasks(records, common)), len(scorer.columns))
        for records in (first, second)
    ]
    halves = [scorer.summarize(half, contents, is_half=True) for half in sums]
    differences = dict(zip(scorer.columns, paired_test(sums[0], sums[1]), strict=True))
    left_out = sum(c.total() for c in counts) - 2 * common.total()
    return CaptionComparison(halves[0], halves[1], differences, left_out)


def _of_tasks(records: Iterable[Record], tasks: Counter[Any]) -> Iterator[Record]:
    """The first records of each task, as many as `tasks` counts."""
    remaining = tasks.copy()
    for record in records:
        if remaining[record.task] > 0:
            remaining[record.task] -= 1
            yield record


@dataclass
class _Contents:
    """What the first pass over the records collects.

    Attributes:
        truths: Names of all rows, as written; `firsts` has only the first of each row.
        given: Names of the references shown.
        sizes: Number of rows by their number of true names.
    """

    truths: set[str] = field(default_factory=set)
    firsts: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    sizes: Counter[int] = field(default_factory=Counter)
    duplicates: int = 0
    empty: int = 0
    long: int = 0


def _scan(records: Iterable[Record]) -> _Contents:
    contents = _Contents()
    digests: set[bytes] = set()
    for record in records:
        contents.truths.update(record.concepts)
        contents.firsts.update(record.concepts[:1])
        contents.given.update(record.given)
        contents.sizes[len(record.concepts)] += 1
        contents.empty += not record.caption.strip()
        contents.long += len(record.caption) > name_accuracy.MAX_CAPTION
        if len(digests) < _MAX_DIGESTS:
            digest = hashlib.blake2b(record.key, digest_size=8).digest()
            contents.duplicates += digest in digests
            digests.add(digest)
    if not contents.sizes:
        raise CaptionError("there are no captions to measure; give at least one row")
    return contents


class _Scorer:
    """One metric over one set of known names."""

    def __init__(self, metric: Metric, contents: _Contents, concepts: int | None) -> None:
        if concepts is not None and concepts < 1:
            raise CaptionError(f"--concepts is {concepts}; give 1, 2 or 4, or leave it out")
        self.metric = metric
        self.columns: tuple[str, ...] = PAPER_COLUMNS
        self.units: tuple[str, ...] = PAPER_UNITS
        self.is_chosen = concepts is not None
        if concepts is None:
            concepts = max(1, *contents.sizes)
        self.script = name_accuracy.PaperScript(concepts)
        if metric == "paper":
            written = contents.firsts if self.script.takes_first else contents.truths
            self._pool = name_accuracy.concept_pool(written, self.script)
        else:
            self._names = NameIndex(contents.truths | contents.given)
            self.columns, self.units = name_accuracy.COLUMNS, name_accuracy.UNITS

    def row(self, record: Record) -> tuple[str, Sequence[float], Sequence[float]]:
        """The record's photo and its numerators and denominators, one of each per column."""
        if self.metric == "strict":
            return record.photo, *name_accuracy.strict_counts(record, self._names)
        hits, answered, truths = name_accuracy.paper_counts(record, self._pool, self.script)
        return record.photo, (hits, hits, 2 * hits), (answered, truths, answered + truths)

    def summarize(
        self, sums: PhotoSums, contents: _Contents, is_half: bool = False
    ) -> CaptionScores:
        scores = dict(zip(self.columns, sums.estimates(self.units), strict=True))
        if self.metric == "paper":
            # The scripts write 0 for 0 / 0, and F1 is over as many truths as recall.
            scores = {name: replace(s, value=s.value or 0.0) for name, s in scores.items()}
            scores["f1"] = replace(scores["f1"], n=scores["recall"].n)
        remarks = [] if is_half else self._remarks(contents)
        if len(sums.photos) < FEW:
            remarks.append(f"{len(sums.photos)} photos are too few for a trustworthy interval")
        return CaptionScores(
            self.metric, sums.rows, len(sums.photos), self.script.concepts, scores, remarks
        )

    def _remarks(self, contents: _Contents) -> list[str]:
        remarks = []
        if contents.duplicates:
            remarks.append(f"{contents.duplicates} rows repeat an earlier one; each counts")
        if contents.empty:
            remarks.append(f"{contents.empty} captions are empty; they count as naming no concept")
        if contents.long and self.metric == "strict":
            remarks.append(
                f"{contents.long} captions are longer than {name_accuracy.MAX_CAPTION} "
                "characters; they count as wrong"
            )
        if self.metric == "paper" and len(contents.sizes) > 1 and not self.is_chosen:
            sizes = ", ".join(map(str, sorted(contents.sizes)))
            remarks.append(
                f"rows have {sizes} concepts; scored as the script for {self.script.concepts}, "
                "choose another with --concepts"
            )
        return remarks


def _parallel_map(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Like `map(function, items)`, in order, by `workers` processes; few items are held at once.

    Args:
        function: Must be picklable; it is sent to each process once.
    """
    if workers < 2:
        yield from map(function, items)
        return
    # Spawn, not fork: libraries that we use hold locks in threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _initialize, (function,)) as pool:
        pending: deque[Future[list[R]]] = deque()
        for chunk in batched(items, _CHUNK):
            pending.append(pool.submit(_apply, chunk))
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


_function: Callable[[Any], Any]


def _initialize(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function


def _apply(chunk: tuple[Any, ...]) -> list[Any]:
    return [_function(item) for item in chunk]


def format_value(name: str, value: float | None) -> str:
    """A share in per cent, a count as it is; `-` for None.

    Args:
        name: Of the score; see `COUNTS`.
    """
    if value is None:
        return "-"
    return f"{value:.2f}" if name in COUNTS else f"{100 * value:.1f}"


def format_interval(name: str, low: float | None, high: float | None) -> str:
    """`70.1 to 75.0`; `-` without an interval."""
    return "-" if low is None else f"{format_value(name, low)} to {format_value(name, high)}"


def format_cell(name: str, score: Estimate, n: int | None = None) -> str:
    """`72.6 (70.1 to 75.0), n 24`; n is left out if it equals `n`, that of the table row."""
    if not score.n:
        return "-"
    value = format_value(name, score.value)
    if score.low is not None:
        value += f" ({format_interval(name, score.low, score.high)})"
    return value if score.n == n else f"{value}, n {score.n}"

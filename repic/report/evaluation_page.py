"""The page of an evaluation: scores with intervals, the worst photos, and changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repic.errors import CaptionError
from repic.evaluation.intervals import Difference, Estimate
from repic.evaluation.results import NAME, EvaluationResult, compare, find, load
from repic.evaluation.score import ALL
from repic.refresh.history import decisions
from repic.report.pictures import BoxOverlay, PagePicture
from storage.errors import StoreError
from storage.store import Store

MAX_PHOTOS = 20
"""Worst photos shown."""
SCORES = ("precision", "recall", "f1", "exact", "false_mention", "binding")
QUALITY = ("length", "distinct_1", "distinct_2", "self_bleu", "copy_rate", "clip_score")
"""Scores of caption quality, which do not depend on names."""

PROMOTED = f"{NAME}@production"
REASONS = {
    "right": "is correct",
    "absent_named": "names a reference that was shown but is not in the photo",
    "wrong_name": "uses a wrong, ambiguous or invalid name",
    "missing_name": "omits a name",
    "wrong_object": "gives a name to the wrong object",
    "empty": "is empty",
    "long": "is too long to be scored",
}
"""Reason code in the scores table -> predicate of a sentence about the caption."""

Row = Mapping[str, Any]
_ScoreLines = tuple[tuple[str, str, Mapping[str, Estimate]], ...]


@dataclass(frozen=True)
class _ProtocolScores:
    """Scores of one protocol and part, in the order of `SCORES`."""

    protocol: str
    part: str
    n: int
    scores: tuple[Estimate, ...]


@dataclass(frozen=True)
class _ScoreChange:
    """A score of one protocol before and now."""

    protocol: str
    score: str
    before: Estimate
    now: Estimate
    difference: Difference


@dataclass(frozen=True)
class _ShownReference:
    """A reference that the model saw."""

    picture: PagePicture
    name: str
    info: str
    present: bool


@dataclass(frozen=True)
class _WorstPhoto:
    """A photo with a wrong caption: its worst caption, and the reasons of the others.

    Attributes:
        caption_id: Of its worst caption.
        f1: Mean over its captions.
        overlays: Boxes of its objects, or those of retrieval.
        labels: Label of each box.
        truth: Names that the caption should contain.
        others: (protocol, reason) of its other captions.
    """

    picture: PagePicture
    caption_id: str
    f1: float
    overlays: tuple[BoxOverlay, ...]
    labels: tuple[str, ...]
    protocol: str
    part: str
    truth: tuple[str, ...]
    references: tuple[_ShownReference, ...]
    caption: str
    reason: str
    others: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _RetrievalCurve:
    """Retrieval over the threshold: polylines in percent of the chart, y from the top.

    Attributes:
        at: Position of the threshold in use, in percent of the width.
    """

    hits: str
    false_accepts: str
    at: float
    low: float
    high: float
    threshold: float


@dataclass(frozen=True)
class EvaluationPage:
    """Contents of the page.

    Attributes:
        evaluation: The evaluation that the page is about.
        protocols: Scores by protocol over all parts.
        parts: Scores by protocol and part, if there are several parts.
        quality: Protocol, part, and the available scores of `QUALITY`.
        facts: Protocol, part, and what captions alone convey; empty if nothing is known.
        reference: Protocol, part, and scores against reference captions, if there are any.
        retrieval: Protocol, part, and scores of retrieval.
        captions: Number of captions.
        previous: The evaluation to compare with.
    """

    evaluation: EvaluationResult
    protocols: tuple[_ProtocolScores, ...]
    parts: tuple[_ProtocolScores, ...]
    quality: _ScoreLines
    facts: _ScoreLines
    reference: _ScoreLines
    retrieval: _ScoreLines
    curve: _RetrievalCurve | None
    worst: tuple[_WorstPhoto, ...]
    captions: int
    previous: EvaluationResult | None
    changes: tuple[_ScoreChange, ...]

    @property
    def pictures(self) -> list[PagePicture]:
        """Every picture of the page."""
        return [
            picture
            for photo in self.worst
            for picture in (photo.picture, *(r.picture for r in photo.references))
        ]


def _lines(evaluation: EvaluationResult, metric: str) -> _ScoreLines:
    """Protocol, part and scores that could be measured."""
    return tuple(
        (protocol, part, named)
        for (protocol, part), named in ordered_estimates(evaluation, metric)
        if any(score.n for score in named.values())
    )


def gather(store: Store, ref: str, against: str | None = None) -> EvaluationPage:
    """Collect the contents of the page of an evaluation.

    Args:
        against: An earlier evaluation; by default the one tagged `production`, of the same suite.

    Raises:
        StoreError: there is no such version, or it is not an evaluation.
        CaptionError: the two evaluations share no question.
    """
    evaluation = load(store, ref)
    captions = {row["caption_id"]: row for row in evaluation.rows("captions")}
    scores = _strict_scores(evaluation)
    several = len(evaluation.parts) > 1
    previous = _previous(store, evaluation, against)
    return EvaluationPage(
        evaluation,
        tuple(line for line in scores if line.part == ALL or not several),
        tuple(line for line in scores if line.part != ALL and several),
        _lines(evaluation, "quality"),
        _lines(evaluation, "facts"),
        _lines(evaluation, "reference"),
        _lines(evaluation, "retrieval"),
        _curve(evaluation.summary),
        _worst_photos(evaluation.rows("scores"), captions),
        len(captions),
        previous,
        _changes(previous, evaluation) if previous else (),
    )


def _strict_scores(evaluation: EvaluationResult) -> list[_ProtocolScores]:
    return [
        _ProtocolScores(protocol, part, named["f1"].n, tuple(named[name] for name in SCORES))
        for (protocol, part), named in ordered_estimates(evaluation, "strict")
    ]


def ordered_estimates(
    evaluation: EvaluationResult, metric: str
) -> list[tuple[tuple[str, str], Mapping[str, Estimate]]]:
    """Estimates of a metric by (protocol, part), in the order of the protocols, all parts first."""
    order = {name: k for k, name in enumerate(evaluation.protocols)}
    estimates = evaluation.estimates(metric).items()
    return sorted(estimates, key=lambda i: (order[i[0][0]], i[0][1] != ALL, i[0][1]))


def _previous(
    store: Store, evaluation: EvaluationResult, against: str | None
) -> EvaluationResult | None:
    if against is not None:
        return load(store, against)
    try:
        promoted = _promoted(store, evaluation)
    except (CaptionError, StoreError):  # nothing is promoted yet, or it was not evaluated
        return None
    is_other = promoted.ref != evaluation.ref and promoted.suite == evaluation.suite
    return promoted if is_other and _share(promoted, evaluation) else None


def _promoted(store: Store, evaluation: EvaluationResult) -> EvaluationResult:
    """The model in use before this one was promoted; if it never was, the one in use."""
    own = (d for d in reversed(decisions(store)) if d.candidate == evaluation.model)
    before = next((d.production for d in own if d.verdict != "refused"), None)
    return find(store, before, evaluation.suite) if before else load(store, PROMOTED)


def _share(first: EvaluationResult, second: EvaluationResult) -> bool:
    """Whether both answer questions in common in every protocol that both have."""
    questions = [
        {(r["protocol"], r["question_id"]) for r in one.rows("scores")} for one in (first, second)
    ]
    both = set(first.protocols) & set(second.protocols)
    return both <= {protocol for protocol, _ in questions[0] & questions[1]}


def _changes(previous: EvaluationResult, evaluation: EvaluationResult) -> tuple[_ScoreChange, ...]:
    return tuple(
        _ScoreChange(protocol, name, before, now, difference)
        for protocol in evaluation.protocols
        if protocol in previous.protocols
        for name, difference in compare(previous, evaluation, protocol).items()
        if name in SCORES
        and (before := previous.score(name, protocol)).n
        and (now := evaluation.score(name, protocol)).n
    )


def _curve(summary: Row) -> _RetrievalCurve | None:
    points = summary["curve"]
    if not points or summary["threshold"] is None:
        return None
    low, high = points[0]["threshold"], points[-1]["threshold"]
    span = max(1e-9, high - low)

    def line(key: str) -> str:
        return " ".join(
            f"{100 * (p['threshold'] - low) / span:.2f},{100 * (1 - p[key]):.2f}" for p in points
        )

    at = min(100.0, max(0.0, 100 * (summary["threshold"] - low) / span))
    return _RetrievalCurve(line("hits"), line("false_accepts"), at, low, high, summary["threshold"])


def _worst_photos(scores: Sequence[Row], captions: Mapping[str, Row]) -> tuple[_WorstPhoto, ...]:
    """The photos with the lowest mean F1, each with its worst caption."""
    photos: dict[str, list[Row]] = defaultdict(list)
    for row in scores:
        photos[row["image_id"]].append(row)
    means = {key: sum(row["f1"] for row in rows) / len(rows) for key, rows in photos.items()}
    wrong = [key for key, rows in photos.items() if any(row["reason"] != "right" for row in rows)]
    worst = sorted(wrong, key=lambda key: (means[key], key))[:MAX_PHOTOS]
    return tuple(_worst_photo(photos[key], means[key], captions) for key in worst)


def _worst_photo(rows: Sequence[Row], f1: float, captions: Mapping[str, Row]) -> _WorstPhoto:
    first, *rest = sorted(
        rows, key=lambda r: (r["reason"] == "right", r["f1"], -r["extra_names"], r["caption_id"])
    )
    caption = captions[first["caption_id"]]
    photo = caption["images"][-1]
    boxes = [
        (item["box"], f"{item['name'] or 'no name'}, {item['label']}") for item in caption["scene"]
    ] or [
        (crop["box"], f"near {near['name']} {near['similarity']:.2f}")
        for crop in caption["crops"]
        for near in crop["nearest"][:1]
    ]
    references = zip(caption["references"], caption["images"], strict=False)
    return _WorstPhoto(
        PagePicture(photo["image_id"], photo["uri"]),
        first["caption_id"],
        f1,
        tuple(BoxOverlay.of(box, photo["crop"]) for box, _ in boxes),
        tuple(label for _, label in boxes),
        first["protocol"],
        first["part"],
        tuple(caption["concepts"]),
        tuple(
            _ShownReference(
                _picture(image), reference["name"], reference["info"], reference["present"]
            )
            for reference, image in references
        ),
        caption["caption"],
        first["reason"],
        tuple((row["protocol"], row["reason"]) for row in rest),
    )


def _picture(image: Row) -> PagePicture:
    x1, y1, x2, y2 = image["crop"]
    return PagePicture(image["image_id"], image["uri"], (x1, y1, x2, y2))

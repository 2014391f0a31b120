"""The page of an evaluation: numbers with intervals, errors to look at, and what changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repic.errors import CaptionError
from repic.evaluate.intervals import Difference, Estimate
from repic.evaluate.results import NAME, EvaluationResult, compare, find, load
from repic.evaluate.score import ALL
from repic.refresh.history import decisions
from repic.report.pictures import Shot
from repic.report.scenes import Frame
from storage.errors import StoreError
from storage.store import Store

WORST = 20
SCORES = ("precision", "recall", "f1", "exact", "false_mention", "binding")
READ = ("length", "distinct_1", "distinct_2", "self_bleu", "copy_rate", "clip_score")
"""How captions read, whoever is in them."""

PROMOTED = f"{NAME}@production"
REASONS = {
    "right": "nothing is wrong with it",
    "absent_named": "names somebody whose reference was shown, but who is not there",
    "wrong_name": "uses a name that is wrong, doubtful or no name at all",
    "missing_name": "does not name everybody",
    "wrong_object": "gives a name to the wrong thing",
    "empty": "says nothing",
    "long": "is too long to be read",
}
"""Of a row of the scores table."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """Scores of one protocol and part, in the order of `SCORES`."""

    protocol: str
    part: str
    n: int
    scores: tuple[Estimate, ...]


@dataclass(frozen=True)
class Change:
    """A score of one protocol before and now."""

    protocol: str
    score: str
    before: Estimate
    now: Estimate
    difference: Difference


@dataclass(frozen=True)
class Given:
    """A reference that was shown."""

    shot: Shot
    name: str
    info: str
    present: bool


@dataclass(frozen=True)
class Card:
    """A photo that goes wrong: its worst caption, and the reasons of the others.

    Attributes:
        f1: Mean over its captions.
        frames: Boxes of its objects, else those of retrieval; numbered as `boxes`.
        boxes: What each box is said to be.
        others: (protocol, reason) of its other captions.
    """

    shot: Shot
    f1: float
    frames: tuple[Frame, ...]
    boxes: tuple[str, ...]
    protocol: str
    part: str
    truth: tuple[str, ...]
    given: tuple[Given, ...]
    caption: str
    reason: str
    others: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Curve:
    """Retrieval over the threshold: polylines in percent of the chart, y from the top.

    Attributes:
        at: Where the threshold in use lies, percent of the width.
    """

    hits: str
    false_accepts: str
    at: float
    low: float
    high: float
    threshold: float


@dataclass(frozen=True)
class Page:
    """All that the page shows.

    Attributes:
        quality: Protocol, part and the scores of `READ` that there are.
    """

    found: EvaluationResult
    lines: tuple[Line, ...]
    parts: tuple[Line, ...]
    quality: tuple[tuple[str, str, Mapping[str, Estimate]], ...]
    retrieval: tuple[tuple[str, str, Mapping[str, Estimate]], ...]
    curve: Curve | None
    cards: tuple[Card, ...]
    captions: int
    previous: EvaluationResult | None
    changes: tuple[Change, ...]

    @property
    def shots(self) -> list[Shot]:
        """Every picture of the page."""
        return [shot for card in self.cards for shot in (card.shot, *(g.shot for g in card.given))]


def gather(store: Store, ref: str, against: str | None = None) -> Page:
    """What the page of an evaluation shows.

    Args:
        against: An earlier evaluation; by default the one tagged `production`, of the same suite.

    Raises:
        StoreError: there is no such version, or it is of something else.
        CaptionError: the two share no question.
    """
    found = load(store, ref)
    captions = {row["caption_id"]: row for row in found.rows("captions")}
    lines = _lines(found)
    previous = _previous(store, found, against)
    return Page(
        found,
        tuple(line for line in lines if line.part == ALL or len(found.parts) == 1),
        tuple(line for line in lines if line.part != ALL and len(found.parts) > 1),
        tuple((p, part, named) for (p, part), named in _ordered(found, "quality")),
        tuple((p, part, named) for (p, part), named in _ordered(found, "retrieval")),
        _curve(found.summary),
        _cards(found.rows("scores"), captions),
        len(captions),
        previous,
        _changes(previous, found) if previous else (),
    )


def _lines(found: EvaluationResult) -> list[Line]:
    return [
        Line(protocol, part, named["f1"].n, tuple(named[name] for name in SCORES))
        for (protocol, part), named in _ordered(found, "strict")
    ]


def _ordered(
    found: EvaluationResult, metric: str
) -> list[tuple[tuple[str, str], Mapping[str, Estimate]]]:
    order = {name: k for k, name in enumerate(found.protocols)}
    numbers = found.estimates(metric).items()
    return sorted(numbers, key=lambda i: (order[i[0][0]], i[0][1] != ALL, i[0][1]))


def _previous(
    store: Store, found: EvaluationResult, against: str | None
) -> EvaluationResult | None:
    if against is not None:
        return load(store, against)
    try:
        promoted = _promoted(store, found)
    except (CaptionError, StoreError):  # nothing was promoted yet, or it was not evaluated
        return None
    is_other = promoted.ref != found.ref and promoted.suite == found.suite
    return promoted if is_other and _share(promoted, found) else None


def _promoted(store: Store, found: EvaluationResult) -> EvaluationResult:
    """What was in use before the model took over; if it never did, what is in use."""
    taken = (d for d in reversed(decisions(store)) if d.candidate == found.model)
    before = next((d.production for d in taken if d.verdict != "refused"), None)
    return find(store, before, found.suite) if before else load(store, PROMOTED)


def _share(first: EvaluationResult, second: EvaluationResult) -> bool:
    """Whether they answer the same questions, of every protocol that both have."""
    asked = [
        {(r["protocol"], r["question_id"]) for r in one.rows("scores")} for one in (first, second)
    ]
    both = set(first.protocols) & set(second.protocols)
    return both <= {protocol for protocol, _ in asked[0] & asked[1]}


def _changes(previous: EvaluationResult, found: EvaluationResult) -> tuple[Change, ...]:
    return tuple(
        Change(protocol, name, before, now, difference)
        for protocol in found.protocols
        if protocol in previous.protocols
        for name, difference in compare(previous, found, protocol).items()
        if name in SCORES
        and (before := previous.score(name, protocol)).n
        and (now := found.score(name, protocol)).n
    )


def _curve(summary: Row) -> Curve | None:
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
    return Curve(line("hits"), line("false_accepts"), at, low, high, summary["threshold"])


def _cards(scores: Sequence[Row], captions: Mapping[str, Row]) -> tuple[Card, ...]:
    """The photos with the lowest mean F1, each with its worst caption."""
    photos: dict[str, list[Row]] = defaultdict(list)
    for row in scores:
        photos[row["image_id"]].append(row)
    means = {key: sum(row["f1"] for row in rows) / len(rows) for key, rows in photos.items()}
    wrong = [key for key, rows in photos.items() if any(row["reason"] != "right" for row in rows)]
    worst = sorted(wrong, key=lambda key: (means[key], key))[:WORST]
    return tuple(_card(photos[key], means[key], captions) for key in worst)


def _card(rows: Sequence[Row], f1: float, captions: Mapping[str, Row]) -> Card:
    first, *rest = sorted(
        rows, key=lambda r: (r["reason"] == "right", r["f1"], -r["extra_names"], r["caption_id"])
    )
    caption = captions[first["caption_id"]]
    photo = caption["images"][-1]
    boxes = [
        (thing["box"], f"{thing['name'] or 'no name'}, {thing['label']}")
        for thing in caption["scene"]
    ] or [
        (crop["box"], f"near {near['name']} {near['similarity']:.2f}")
        for crop in caption["crops"]
        for near in crop["nearest"][:1]
    ]
    shown = zip(caption["references"], caption["images"], strict=False)
    return Card(
        Shot(photo["image_id"], photo["uri"]),
        f1,
        tuple(Frame.of(box, photo["crop"]) for box, _ in boxes),
        tuple(label for _, label in boxes),
        first["protocol"],
        first["part"],
        tuple(caption["concepts"]),
        tuple(
            Given(_shot(picture), reference["name"], reference["info"], reference["present"])
            for reference, picture in shown
        ),
        caption["caption"],
        first["reason"],
        tuple((row["protocol"], row["reason"]) for row in rest),
    )


def _shot(picture: Row) -> Shot:
    x1, y1, x2, y2 = picture["crop"]
    return Shot(picture["image_id"], picture["uri"], (x1, y1, x2, y2))

"""Evaluation: every report, two of them side by side, and every number down to its captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from repic.errors import FIXABLE
from repic.evaluation import caption_facts, metrics, reference_scores
from repic.evaluation.intervals import Estimate
from repic.evaluation.results import NAME as EVALUATION
from repic.evaluation.results import EvaluationResult, load
from repic.evaluation.score import ALL
from repic.report import evaluation_page
from repic.report.evaluation_page import EvaluationPage, ordered_estimates
from repic.report.pictures import BoxOverlay, PagePicture
from repic.studio.site import EMPTY_IS_NONE, PageNotFoundError, Studio
from storage.errors import StoreError

NAME, PATH = "Evaluation", "/evaluation"
SIZE = 20
"""Reports on a page."""

CAPTIONS = 30
"""Captions on a page."""

CONTRASTS = 12
"""Captions of two models that are shown side by side."""

BROKEN = (LookupError, TypeError, ValueError, AttributeError)
"""What a report of unexpected content raises; the page must say so, and show the others."""

Row = Mapping[str, Any]


class CaptionQuery(BaseModel):
    """The filters in the address; an empty one is any.

    Attributes:
        reason: right, or the first error of the caption.
        image: Id of the photo.
        page: Number of the page, from 1.
    """

    protocol: str = ""
    part: str = ""
    reason: str = ""
    verdict: Literal["", "right", "wrong", "absent"] = ""
    image: str = ""
    page: Annotated[int, Query(ge=1, le=10**9)] = 1


Wanted = Annotated[CaptionQuery, Query()]


@dataclass(frozen=True)
class ReportLine:
    """A report in the list.

    Attributes:
        aliases: `latest` and its tags.
        result: None if it cannot be read.
        f1: Protocol -> strict F1 over all parts.
        broken: Why it cannot be read.
    """

    number: int
    aliases: tuple[str, ...]
    result: EvaluationResult | None
    f1: Mapping[str, Estimate]
    broken: str = ""


@dataclass(frozen=True)
class Contrast:
    """The answers of two models to one question, and their strict F1: before and now."""

    before: Row
    now: Row
    f1: tuple[float, float]
    reasons: tuple[str, str]


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()

    @routes.get("/evaluation")
    def reports(request: Request, before: int | None = None) -> Response:
        every = studio.store.versions(EVALUATION)
        numbers = [n for n in every if before is None or n < before]
        shown = numbers[-SIZE:][::-1]
        older = shown[-1] if len(numbers) > len(shown) else None
        lines = [_line(studio, number) for number in shown]
        return studio.page(request, "reports.html", lines=lines, older=older)

    @routes.get("/evaluation/{number}")
    def report(
        request: Request, number: int, against: Annotated[int | None, EMPTY_IS_NONE] = None
    ) -> Response:
        page = _gathered(studio, number, against)
        return studio.page(
            request,
            "evaluation.html",
            number=number,
            page=page,
            aliases=_aliases(studio, number),
            contrasts=_contrasts(page.previous, page.evaluation) if page.previous else [],
            others=[n for n in reversed(studio.store.versions(EVALUATION)) if n != number],
            against=against,
            names=evaluation_page.SCORES,
            reasons=evaluation_page.REASONS,
            columns={
                "Caption quality": (page.quality, evaluation_page.QUALITY),
                "What the captions alone convey": (page.facts, caption_facts.COLUMNS),
                "Against reference captions": (page.reference, reference_scores.COLUMNS),
            },
            plain=metrics.COUNTS,
        )

    _caption_routes(routes, studio)
    return routes


def _caption_routes(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/evaluation/{number}/captions")
    def captions(
        request: Request, number: int, wanted: Annotated[CaptionQuery, Query()]
    ) -> Response:
        result = _result(studio, number)
        scores = studio.store.read(result.table("scores"))
        fits = _matching(scores, wanted).sort_by([("f1", "ascending"), ("caption_id", "ascending")])
        start = (wanted.page - 1) * CAPTIONS
        rows = fits.slice(start, CAPTIONS).to_pylist()
        answers = _captions(result, [row["caption_id"] for row in rows])
        return studio.page(
            request,
            "captions.html",
            result=result,
            number=number,
            wanted=wanted,
            total=fits.num_rows,
            has_more=start + CAPTIONS < fits.num_rows,
            rows=[(row, answers[row["caption_id"]]) for row in rows],
            offered={
                name: sorted(pc.unique(scores[name]).to_pylist())
                for name in ("protocol", "part", "reason")
            },
        )

    @routes.get("/evaluation/{number}/captions/{caption_id}")
    def caption(request: Request, number: int, caption_id: str) -> Response:
        result = _result(studio, number)
        row = _caption(result, caption_id)
        condition = pc.field("caption_id") == caption_id
        scores = studio.store.read(result.table("scores"), filter=condition).to_pylist()
        return studio.page(
            request,
            "caption.html",
            result=result,
            number=number,
            row=row,
            score=scores[0] if scores else {},
            boxes=_boxes(row),
            reasons=evaluation_page.REASONS,
            photo_page=_photo_page(studio, row["image_id"]),
        )

    @routes.get("/evaluation/{number}/captions/{caption_id}/{place}/{side}.jpg")
    def picture(number: int, caption_id: str, place: str, side: int) -> Response:
        images = _caption(_result(studio, number), caption_id)["images"]
        chosen = len(images) - 1 if place == "photo" else int(place) if place.isdecimal() else -1
        if not 0 <= chosen < len(images):
            raise PageNotFoundError(f"Caption {caption_id} has no picture {place}.")
        entry = images[chosen]
        crop = None if place == "photo" else tuple(entry["crop"])
        return studio.picture(PagePicture(entry["image_id"], entry["uri"], crop), side)


def _aliases(studio: Studio, number: int) -> tuple[str, ...]:
    ref = studio.store.current().of(EVALUATION)
    tags = sorted(tag for tag, version in ref.tags.items() if version == number)
    return (*(["latest"] if ref.latest == number else []), *tags)


def _line(studio: Studio, number: int) -> ReportLine:
    aliases = _aliases(studio, number)
    try:
        result = load(studio.store, f"{EVALUATION}@v{number}")
        strict = ordered_estimates(result, "strict")
        f1 = {protocol: named["f1"] for (protocol, part), named in strict if part == ALL}
        f1 = f1 or {protocol: named["f1"] for (protocol, _), named in strict}
        checked = result.model, result.suite, result.summary["photos"], result.summary["concepts"]
        return ReportLine(number, aliases, result if all(map(_is_plain, checked)) else None, f1)
    except (*FIXABLE, *BROKEN) as error:
        return ReportLine(number, aliases, None, {}, _sentence(error))


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int)


def _sentence(error: Exception) -> str:
    if isinstance(error, FIXABLE):
        return str(error)
    return f"Its content is not that of a report ({type(error).__name__}: {error})."


def _result(studio: Studio, number: int) -> EvaluationResult:
    """A report. Raises: StoreError: there is none, or it has no tables."""
    return load(studio.store, f"{EVALUATION}@v{number}")


def _gathered(studio: Studio, number: int, against: int | None) -> EvaluationPage:
    """The contents of the page of a report.

    Raises:
        StoreError: there is no such report, or it is damaged.
        CaptionError: the two reports share no question.
    """
    other = None if against is None else f"{EVALUATION}@v{against}"
    try:
        return evaluation_page.gather(studio.store, f"{EVALUATION}@v{number}", other)
    except BROKEN as error:
        raise StoreError(
            f"{EVALUATION}@v{number} cannot be shown. {_sentence(error)} Evaluate the model again."
        ) from None


def _matching(scores: pa.Table, wanted: CaptionQuery) -> pa.Table:
    for column, value in (
        ("protocol", wanted.protocol),
        ("part", "" if wanted.part == ALL else wanted.part),
        ("reason", wanted.reason),
        ("image_id", wanted.image),
    ):
        if value:
            scores = scores.filter(pc.equal(scores[column], value))
    if wanted.verdict == "absent":
        return scores.filter(scores["false_mention"].fill_null(False))
    if wanted.verdict:
        right = pc.equal(scores["reason"], "right")
        return scores.filter(right if wanted.verdict == "right" else pc.invert(right))
    return scores


def _captions(result: EvaluationResult, ids: list[str]) -> dict[str, Row]:
    """Rows of the captions table by id."""
    condition = pc.field("caption_id").isin(pa.array(ids, pa.string()))
    rows = result.store.read(result.table("captions"), filter=condition).to_pylist()
    return {row["caption_id"]: row for row in rows}


def _caption(result: EvaluationResult, caption_id: str) -> Row:
    found = _captions(result, [caption_id]).get(caption_id)
    if found is None:
        raise PageNotFoundError(f"{result.ref} has no caption {caption_id}.")
    return found


def _boxes(row: Row) -> list[tuple[BoxOverlay, str]]:
    """Boxes on the photo, in percent of it, with what is known of each."""
    photo = (0.0, 0.0, row["images"][-1]["width"], row["images"][-1]["height"])
    boxes = [(t["box"], f"{t['name'] or 'no name'}, {t['label']}") for t in row["scene"]]
    for crop in row["crops"]:
        near = [f"{n['name']} {n['similarity']:.2f}" for n in crop["nearest"]]
        boxes.append((crop["box"], f"{crop['label']}, near {', '.join(near) or 'nobody'}"))
    return [(BoxOverlay.of(box, photo), said) for box, said in boxes]


def _photo_page(studio: Studio, image_id: str) -> str:
    """Address of a photo in the latest version; empty if it is not part of it."""
    if not studio.store.current().of("dataset").latest:
        return ""
    has_it = studio.versions.find().photo_ids.row(image_id) is not None
    return f"/photos/{image_id}" if has_it else ""


def _contrasts(before: EvaluationResult, now: EvaluationResult) -> list[Contrast]:
    """Questions that the two answer most differently by F1, losses first."""
    scores = [{r["question_id"]: r for r in one.rows("scores")} for one in (before, now)]
    common = scores[0].keys() & scores[1].keys()
    gains = {q: scores[1][q]["f1"] - scores[0][q]["f1"] for q in common}
    ranked = sorted((q for q in common if gains[q]), key=lambda q: (-abs(gains[q]), q))[:CONTRASTS]
    answers = [
        _captions(one, [rows[q]["caption_id"] for q in ranked])
        for one, rows in zip((before, now), scores, strict=True)
    ]
    return [
        Contrast(
            answers[0][scores[0][q]["caption_id"]],
            answers[1][scores[1][q]["caption_id"]],
            (scores[0][q]["f1"], scores[1][q]["f1"]),
            (scores[0][q]["reason"], scores[1][q]["reason"]),
        )
        for q in sorted(ranked, key=lambda q: (gains[q], q))
    ]

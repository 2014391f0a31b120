"""Pairs: both objects side by side, and decisions on them by keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow.compute as pc
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from numpy.typing import NDArray
from pydantic import BaseModel

from repic.pipeline.reviews import DECISIONS, DISPUTED
from repic.studio.agreement import agreements
from repic.studio.decisions import ByReviewer, standing
from repic.studio.pair_index import PairFilter, PairIndex
from repic.studio.site import (
    EMPTY_IS_NONE,
    PageNotFoundError,
    Studio,
    address,
    fields,
    is_part,
)
from repic.studio.versions import VersionTables

NAME, PATH = "Pairs", "/pairs"
SIZE = 12
"""Pairs on a page."""

NAMED = 300
"""Identities and labels that a filter offers; others can be typed."""

Flags = NDArray[np.bool_]
Bound = Annotated[float | None, EMPTY_IS_NONE]


class PairQuery(BaseModel):
    """The filters in the address; an empty one is any.

    Attributes:
        review: waiting: without a decision of who looks; decided: by anybody; disputed; or any.
        identity: Of one of the two objects; `label` likewise.
        after: Cursor of the last pair of the page before; `before` the opposite.
    """

    review: Literal["waiting", "decided", "disputed", "any"] = "waiting"
    kind: Literal["", "positive", "negative"] = ""
    doubtful: Literal["", "yes", "no"] = ""
    band: Literal["", "easy", "medium", "hard"] = ""
    split: Literal["", "train", "validation", "test"] = ""
    origin: Literal["", "label", "mined"] = ""
    identity: str = ""
    label: str = ""
    low: Bound = None
    high: Bound = None
    after: str = ""
    before: str = ""


@dataclass(frozen=True)
class ShownObject:
    """An object of a pair and its photo; both None if a review dropped the object."""

    thing: dict[str, Any] | None
    photo: dict[str, Any] | None


@dataclass(frozen=True)
class ShownPair:
    """A pair, its objects, and what reviewers say.

    Attributes:
        row: As `PairIndex.row`.
        decided: Reviewer -> decision.
        own: Decision of who looks; empty without one.
        standing: What all reviewers say together.
    """

    row: dict[str, Any]
    ends: tuple[ShownObject, ShownObject]
    decided: dict[str, str]
    own: str
    standing: str


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()

    @routes.get("/pairs")
    def pairs(request: Request, wanted: Annotated[PairQuery, Query()]) -> Response:
        version, who = studio.version(request), studio.reviewer(request)
        index = version.pairs
        decided = decided_pairs(index, studio.decisions.of("pair"))
        fits = _state(index, index.matching(_filter(version, wanted)), wanted.review, decided, who)
        page = index.page(fits, SIZE, wanted.after, wanted.before)
        return studio.page(
            request,
            "pairs.html",
            version=version,
            wanted=wanted,
            found=page,
            first=index.cursor(page.places[0]) if page.places else "",
            last=index.cursor(page.places[-1]) if page.places else "",
            cards=shown(studio, version, page.places, who),
            identities=named(version, "identity"),
            labels=named(version, "called"),
            agreements=agreements(decided.values()),
        )

    @routes.get("/pairs/{pair_id}")
    def pair(request: Request, pair_id: str) -> Response:
        version = studio.version(request)
        card = _card(studio, version, pair_id, studio.reviewer(request))
        return studio.page(request, "pair.html", version=version, card=card)

    @routes.post("/pairs/{pair_id}/decision")
    async def decide(request: Request, pair_id: str) -> Response:
        studio.check_may_review()
        given = await fields(request)
        who = studio.reviewer(request)
        await run_in_threadpool(partial(_decide, studio, request, pair_id, given, who))
        if not is_part(request):
            return RedirectResponse(address(f"/pairs/{pair_id}", request.query_params, of=""), 303)
        return await run_in_threadpool(partial(_decided_card, studio, request, pair_id, who))

    return routes


def _decide(
    studio: Studio, request: Request, pair_id: str, given: dict[str, str], who: str
) -> None:
    """Publish a decision, or withdraw it if `decision` is empty."""
    decision = given.get("decision", "")
    if decision not in ("", *DECISIONS):
        raise PageNotFoundError(f"A decision is one of {', '.join(DECISIONS)}.")
    if studio.seen_version(request).pairs.place(pair_id) is None:
        raise PageNotFoundError(f"There is no pair {pair_id}: load the page again.")
    change = {
        "subject": "pair",
        "subject_id": pair_id,
        "decision": decision,
        "reviewer": who,
        "note": given.get("note", "").strip()[:500] or None,
    }
    studio.decisions.decide([change])


def _decided_card(studio: Studio, request: Request, pair_id: str, who: str) -> Response:
    version = studio.seen_version(request)
    card = _card(studio, version, pair_id, who)
    return studio.page(request, "pair_card.html", version=version, card=card)


def _card(studio: Studio, version: VersionTables, pair_id: str, who: str) -> ShownPair:
    place = version.pairs.place(pair_id)
    if place is None:
        raise PageNotFoundError(f"dataset@v{version.number} has no pair {pair_id}.")
    return shown(studio, version, [place], who)[0]


def shown(studio: Studio, version: VersionTables, places: list[int], who: str) -> list[ShownPair]:
    """Pairs as a page shows them."""
    index, decisions = version.pairs, studio.decisions.of("pair")
    at = np.array(places, dtype=np.int64)
    ends = [
        [_object(version, thing) for thing in version.objects_at(side[at])]
        for side in (index.anchor, index.other)
    ]
    cards = []
    for place, anchor, other in zip(places, *ends, strict=True):
        row = index.row(place)
        decided = of_pair(index, decisions, place)
        own = decided.get(who)
        cards.append(
            ShownPair(
                row,
                (anchor, other),
                {name: one["decision"] for name, one in sorted(decided.items())},
                own["decision"] if own else "",
                standing(decided),
            )
        )
    return cards


def of_pair(index: PairIndex, decisions: Mapping[str, ByReviewer], place: int) -> ByReviewer:
    """Decisions on a pair, and on the same objects in the other order."""
    mirror = int(index.mirror[place])
    ids = [index.pair_id(mirror), index.pair_id(place)] if mirror >= 0 else [index.pair_id(place)]
    return {name: row for id_ in ids for name, row in decisions.get(id_, {}).items()}


def decided_pairs(index: PairIndex, decisions: Mapping[str, ByReviewer]) -> dict[int, ByReviewer]:
    """Place of each decided pair, the lower one of two in both orders -> its decisions."""
    places = index.places(list(decisions))
    known = places[places >= 0]
    mirrors = index.mirror[known]
    first = np.unique(np.where(mirrors >= 0, np.minimum(known, mirrors), known))
    return {place: of_pair(index, decisions, place) for place in first.tolist()}


def _object(version: VersionTables, thing: dict[str, Any] | None) -> ShownObject:
    if thing is None or thing["photo"] < 0:
        return ShownObject(None, None)
    return ShownObject(thing, version.photo(thing["photo"]))


def _filter(version: VersionTables, wanted: PairQuery) -> PairFilter:
    flags: Flags | None = None
    for column, value in (("identity", wanted.identity), ("called", wanted.label)):
        if value:
            has = pc.fill_null(pc.equal(version.objects[column], value), False)
            own = has.to_numpy(zero_copy_only=False)
            flags = own if flags is None else flags & own
    ends = None if flags is None else tuple(np.flatnonzero(flags).tolist())
    return PairFilter(
        wanted.kind,
        wanted.band,
        wanted.split,
        wanted.origin,
        wanted.doubtful,
        wanted.low,
        wanted.high,
        ends,
    )


def _state(
    index: PairIndex, fits: Flags, review: str, decided: Mapping[int, ByReviewer], who: str
) -> Flags:
    """Those of the pairs that are in a state of review, bool (n,)."""
    if review == "any":
        return fits
    is_meant: Callable[[ByReviewer], bool] = {
        "waiting": lambda decided: who in decided,
        "decided": bool,
        "disputed": lambda decided: standing(decided) == DISPUTED,
    }[review]
    first = np.array([place for place, rows in decided.items() if is_meant(rows)], dtype=np.int64)
    places = np.concatenate([first, index.mirror[first]])
    places = places[places >= 0]
    if review == "waiting":
        left = fits.copy()
        left[places] = False
        return left
    flags = np.zeros(len(index), dtype=bool)
    flags[places] = fits[places]
    return flags


def named(version: VersionTables, column: str) -> list[str]:
    """The most frequent values of a column of the objects, to offer in a filter."""
    return version.frequent(column)[:NAMED]

"""Photos: a grid with filters, a photo with all that is known of it, and what was refused."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from numpy.typing import NDArray
from pydantic import BaseModel

from repic.report.provenance import quarantine_section
from repic.studio import boxes
from repic.studio.pages.pairs import named, shown
from repic.studio.pair_index import PairFilter
from repic.studio.site import PageNotFoundError, Studio, address, fields, is_part
from repic.studio.versions import VersionTables

NAME, PATH = "Photos", "/photos"
SIZE = 48
"""Photos on a page."""

MOST_PAIRS = 12
"""Pairs on the page of a photo; `pairs` lists all."""

MOST_EXAMPLES = 60

Flags = NDArray[np.bool_]


class PhotoQuery(BaseModel):
    """The filters in the address; an empty one is any.

    Attributes:
        identity: Of the photo or of an object in it; `label` likewise.
        quarantine: Show what was refused instead.
        after: Address of the last photo of the page before; `before` the opposite.
    """

    identity: str = ""
    label: str = ""
    source: str = ""
    split: Literal["", "train", "validation", "test", "none"] = ""
    quarantine: Literal["", "yes"] = ""
    after: str = ""
    before: str = ""


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()

    @routes.get("/photos")
    def photos(request: Request, wanted: Annotated[PhotoQuery, Query()]) -> Response:
        version = studio.version(request)
        if wanted.quarantine:
            refused = quarantine_section(version.version)
            return studio.page(request, "quarantine.html", version=version, refused=refused)
        fits = _matching(version, wanted)
        rows, before, after = _page(version, fits, wanted)
        return studio.page(
            request,
            "photos.html",
            version=version,
            wanted=wanted,
            total=int(fits.sum()),
            before=before,
            after=after,
            tiles=[version.photo(row) for row in rows],
            identities=named(version, "identity"),
            labels=named(version, "called"),
            sources=sorted(pc.unique(version.photos["source"]).to_pylist()),
        )

    @routes.get("/photos/{image_id}")
    def photo(request: Request, image_id: str) -> Response:
        version = studio.version(request)
        places = _pairs_of(version, version.objects_of(image_id))
        return studio.page(
            request,
            "photo.html",
            **_photo(studio, version, image_id, studio.reviewer(request)),
            pairs=len(places),
            cards=shown(studio, version, places[:MOST_PAIRS], studio.reviewer(request)),
            examples=_examples_of(version, image_id),
        )

    @routes.post("/photos/{image_id}/boxes")
    async def decide(request: Request, image_id: str) -> Response:
        studio.check_may_review()
        given = await fields(request)
        return await run_in_threadpool(partial(_decide, studio, request, image_id, given))

    return routes


def _photo(studio: Studio, version: VersionTables, image_id: str, who: str) -> dict[str, Any]:
    """What `boxes.html` shows of a photo."""
    row = version.photo_ids.row(image_id)
    if row is None:
        raise PageNotFoundError(f"dataset@v{version.number} has no photo {image_id}.")
    things = [thing for thing in version.objects_at(version.objects_of(image_id)) if thing]
    decided = studio.decisions.of_photo("box", image_id)
    return {
        "version": version,
        "photo": version.photo(row),
        "boxes": boxes.shown_boxes(image_id, things, decided, who),
        "labels": named(version, "called"),
        **_splits_of(version, image_id),
    }


def _decide(studio: Studio, request: Request, image_id: str, given: dict[str, str]) -> Response:
    """Publish a decision on a box; the reply is the photo with its boxes as they are now."""
    version, who = studio.version(request), studio.reviewer(request)
    before = _photo(studio, version, image_id, who)
    if other := given.get("agree"):
        decided = studio.decisions.of_photo("box", image_id)
        change = boxes.agreement(decided, f"{image_id}:{given.get('address', '')}", other, who)
    else:
        change = boxes.change_of(before["photo"], before["boxes"], given, who)
    studio.decisions.decide([change])
    if not is_part(request):
        return RedirectResponse(address(f"/photos/{image_id}", request.query_params), 303)
    now = _photo(studio, version, image_id, who)
    return studio.page(request, "boxes.html", **now)


def _matching(version: VersionTables, wanted: PhotoQuery) -> Flags:
    """Photos that fit, bool (n,)."""
    photos = version.photos
    fits = np.ones(photos.num_rows, dtype=bool)
    if wanted.source:
        fits &= _equal(photos["source"], wanted.source)
    if wanted.split:
        split = version.groups["split"]
        own = pc.is_null(split) if wanted.split == "none" else pc.equal(split, wanted.split)
        has = version.groups.filter(own)
        fits &= pc.is_in(photos["image_id"], has["image_id"].combine_chunks()).to_numpy()
    for value, own, column in (
        (wanted.identity, "identity", "identity"),
        (wanted.label, "label", "called"),
    ):
        if value:
            inside = np.zeros(photos.num_rows, dtype=bool)
            rows = version.objects["photo"].filter(pa.array(_equal(version.objects[column], value)))
            at = rows.to_numpy()
            inside[at[at >= 0]] = True
            fits &= _equal(photos[own], value) | inside
    return fits


def _equal(column: pa.ChunkedArray, value: str) -> Flags:
    return pc.fill_null(pc.equal(column, value), False).to_numpy(zero_copy_only=False)


def _page(version: VersionTables, fits: Flags, wanted: PhotoQuery) -> tuple[list[int], str, str]:
    """Rows of a page, and the addresses of its first and last photo, if others are beyond them."""
    uris = version.photos["uri"]

    def uri(row: int) -> str:
        return uris[row].as_py()

    rows = range(len(uris))
    start = bisect_right(rows, wanted.after, key=uri) if wanted.after else 0
    end = bisect_left(rows, wanted.before, key=uri) if wanted.before else len(uris)
    found = start + np.flatnonzero(fits[start:end])
    chosen = (found[-SIZE:] if wanted.before else found[:SIZE]).tolist()
    if not chosen:
        return [], "", ""
    before, after = fits[: chosen[0]].any(), fits[chosen[-1] + 1 :].any()
    return chosen, uri(chosen[0]) if before else "", uri(chosen[-1]) if after else ""


def _pairs_of(version: VersionTables, things: NDArray[np.int64]) -> list[int]:
    """Places of the pairs of some objects."""
    wanted = PairFilter(ends=tuple(things.tolist()))
    return np.flatnonzero(version.pairs.matching(wanted)).tolist()


def _examples_of(version: VersionTables, image_id: str) -> list[dict[str, Any]]:
    """The first examples about a photo, or those that show it as a reference."""
    examples = version.examples
    return examples.filter(pc.equal(examples["image_id"], image_id))[:MOST_EXAMPLES].to_pylist()


def _splits_of(version: VersionTables, image_id: str) -> dict[str, Any]:
    """The split of a photo, and if it is in none, what it shows: group -> its splits elsewhere."""
    its = version.groups.filter(pc.equal(version.groups["image_id"], image_id))
    splits = {split for split in its["split"].to_pylist() if split}
    if splits or not its.num_rows:
        return {"split": ", ".join(sorted(splits)), "torn": {}}
    torn: dict[str, set[str]] = {name: set() for name in its["group"].to_pylist()}
    same = pc.is_in(version.groups["group"], its["group"].combine_chunks())
    for row in version.groups.filter(same).select(["group", "split"]).to_pylist():
        torn[row["group"]].update([row["split"]] if row["split"] else [])
    return {"split": "", "torn": {name: sorted(found) for name, found in sorted(torn.items())}}

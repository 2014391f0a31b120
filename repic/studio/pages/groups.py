"""Groups: mined groups and identities with their pictures; merged, split and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from repic.errors import SchemaError
from repic.studio.groups import (
    Group,
    Named,
    decided_on,
    groups_of,
    members,
    name_for,
    naming,
    unnamed,
    withdrawing,
)
from repic.studio.site import PageNotFoundError, Studio, address, asked_version, form
from repic.studio.versions import VersionTables

NAME, PATH = "Groups", "/groups"
SIZE = 24
"""Groups on a page."""

PICTURES = 6
"""Objects of a group on that page."""

MOST_MEMBERS = 2_000
"""Objects of a group on its own page, of which a form can choose."""

Form = Sequence[tuple[str, str]]


class GroupQuery(BaseModel):
    """The filters in the address.

    Attributes:
        origin: mined, label, or any.
        least: Objects that a group has at least.
        page: Number of the page, from 1 on.
    """

    origin: Literal["mined", "label", "any"] = "mined"
    least: int = Field(2, ge=1, le=1_000_000)
    page: int = Field(1, ge=1, le=1_000_000)


@dataclass(frozen=True)
class ShownGroup:
    """A group, some of its objects, its splits, and what is decided of all of them."""

    group: Group
    things: Sequence[dict[str, Any]]
    splits: Sequence[str]
    named: Named


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()

    @routes.get("/groups")
    def groups(request: Request, wanted: Annotated[GroupQuery, Query()]) -> Response:
        version = studio.version(request)
        every = _groups(version, "" if wanted.origin == "any" else wanted.origin, wanted.least)
        if not every and "origin" not in request.query_params:  # all is labelled
            wanted = wanted.model_copy(update={"origin": "any"})
            every = _groups(version, "", wanted.least)
        start = (wanted.page - 1) * SIZE
        chosen = every[start : start + SIZE]
        return studio.page(
            request,
            "groups.html",
            version=version,
            wanted=wanted,
            total=len(every),
            after=start + SIZE < len(every),
            shown=[_shown(studio, version, group, studio.reviewer(request)) for group in chosen],
        )

    @routes.get("/groups/one")
    def group(request: Request, group: str) -> Response:
        version, who = studio.version(request), studio.reviewer(request)
        found = _find(version, [group])[0]
        things = members(version, found.rows[:MOST_MEMBERS])
        decided = studio.decisions.of("identity")
        return studio.page(
            request,
            "group.html",
            version=version,
            group=found,
            named=decided_on(things, decided, who),
            things=[(thing, decided_on([thing], decided, who)) for thing in things],
        )

    @routes.post("/groups/name")
    async def name(request: Request) -> Response:
        return await _decide(studio, request, _name)

    @routes.post("/groups/split")
    async def split(request: Request) -> Response:
        return await _decide(studio, request, _split)

    @routes.post("/groups/withdraw")
    async def withdraw(request: Request) -> Response:
        return await _decide(studio, request, _withdraw)

    return routes


async def _decide(studio: Studio, request: Request, decide: Any) -> Response:
    """Publish what a form decides; the reply leads to the page that it came from."""
    studio.check_may_review()
    given = await form(request, MOST_MEMBERS + 10)
    await run_in_threadpool(partial(decide, studio, request, given))
    query, group = request.query_params, dict(given).get("back", "")
    if group:
        version = asked_version(request)
        return RedirectResponse(address("/groups/one", {"group": group}, v=version or ""), 303)
    return RedirectResponse(address("/groups", query, of=""), 303)


def _name(studio: Studio, request: Request, given: Form) -> None:
    """Merge the groups of a form under one name, or name the one that it has."""
    version, decided = studio.seen_version(request), studio.decisions.of("identity")
    found = _find(version, [value for key, value in given if key == "group"])
    things = [thing for group in found for thing in members(version, group.rows)]
    name = dict(given).get("name", "").strip()
    if not name and len(found) < 2:
        raise SchemaError("Choose two groups or more to merge, or write a name.")
    name = name or name_for(found, things, decided)
    studio.decisions.decide(naming(things, name, studio.reviewer(request), decided))


def _split(studio: Studio, request: Request, given: Form) -> None:
    """Make the chosen objects of a group another one."""
    version, decided = studio.seen_version(request), studio.decisions.of("identity")
    (found,) = _find(version, [dict(given).get("group", "")])
    things = members(version, found.rows)
    ids = {value for key, value in given if key == "member"}
    chosen = [thing for thing in things if thing["object_id"] in ids]
    rest = [thing for thing in things if thing["object_id"] not in ids]
    if not chosen or not rest:
        raise SchemaError("Choose some of the objects, and not all, to make them another group.")
    others = dict(given).get("rest", "").strip() or name_for([found], rest, decided)
    name = " ".join(dict(given).get("name", "").split()) or unnamed(chosen, (others,))
    if name == others:
        raise SchemaError("Give the chosen objects another name than the rest.")
    who = studio.reviewer(request)
    changes = naming(chosen, name, who, decided) + naming(rest, others, who, decided)
    studio.decisions.decide(changes)


def _withdraw(studio: Studio, request: Request, given: Form) -> None:
    """Take back what a reviewer said of the objects of a group."""
    version, decided = studio.seen_version(request), studio.decisions.of("identity")
    (found,) = _find(version, [dict(given).get("group", "")])
    things = members(version, found.rows)
    studio.decisions.decide(withdrawing(things, studio.reviewer(request), decided))


def _groups(version: VersionTables, origin: str = "", least: int = 1) -> list[Group]:
    return groups_of(version, origin, least) if version.groups.num_rows else []


def _find(version: VersionTables, names: Sequence[str]) -> list[Group]:
    """Groups by name, the largest first. Raises: PageNotFoundError: one does not exist."""
    found = [group for group in _groups(version) if group.name in set(names)]
    if len(found) != len(set(names)) or not found:
        raise PageNotFoundError(
            f"dataset@v{version.number} has no such group: load the page of groups again."
        )
    return found


def _shown(studio: Studio, version: VersionTables, group: Group, who: str) -> ShownGroup:
    decided = studio.decisions.of("identity")
    # Without decisions only those objects are read that are shown.
    things = members(version, group.rows if decided else group.rows[:PICTURES])
    splits = version.groups["split"].take(group.rows).unique().to_pylist()
    named = decided_on(things, decided, who)
    return ShownGroup(group, things[:PICTURES], sorted(s or "mixed" for s in splits), named)

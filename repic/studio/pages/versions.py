"""Versions: a timeline with what each added, lineage as a picture, tags and moves with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import pyarrow.compute as pc
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response

from repic.config import RefreshSettings
from repic.errors import RepicError
from repic.refresh import history
from repic.studio.lineage_picture import picture
from repic.studio.site import PageNotFoundError, Studio, fields
from storage import refs
from storage.catalog import DATASET
from storage.errors import NotFoundError, StoreError
from storage.lineage import lineage
from storage.manifest import ArtifactRef, Manifest, Run

NAME, PATH = "Versions", "/versions"
CHECKPOINT = "checkpoint"
PRODUCTION = RefreshSettings().tag
"""Tag of the checkpoint in use, unless settings give another."""

SIZE = 20
"""Dataset versions on a page."""

LOOKED = 100
"""Moves of refs of which the history is made."""

DECIDED = "commit reviews@"
"""How a move by a decision begins."""

KEPT = 512
"""Differences between two versions of a table that are kept: counts and a few ids."""

THUMBNAILS = 8
"""New photos that a version shows."""

COMPARED = {"images": "image_id", "objects": "object_id", "pairs": "pair_id"}
"""Tables whose added and removed rows are counted -> their key."""


class ReasonMissingError(RepicError):
    """A promotion without a reason, or of what has changed meanwhile."""


@dataclass(frozen=True)
class TableChange:
    """Rows of a table that a version added and removed, and the keys of some that it added."""

    added: int
    removed: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class VersionEntry:
    """A dataset version in the timeline.

    Attributes:
        aliases: `latest` and its tags.
        rows: Table -> rows.
        changes: Table -> what changed since the version before.
    """

    manifest: Manifest
    aliases: tuple[str, ...]
    rows: dict[str, int]
    changes: dict[str, TableChange]


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()
    difference = lru_cache(KEPT)(partial(_difference, studio))

    @routes.get("/versions")
    def versions(request: Request, before: int | None = None) -> Response:
        numbers = [n for n in studio.store.versions(DATASET) if before is None or n < before]
        if not numbers and before is None:
            raise NotFoundError("Nothing is published yet: run a build to make a version.")
        shown = numbers[-SIZE:]
        steps = _steps(numbers, shown)
        entries = [entry(studio, number, previous, difference) for previous, number in steps]
        return studio.page(
            request,
            "versions.html",
            entries=entries[::-1],
            older=shown[0] if shown and shown[0] != numbers[0] else None,
            others=_others(studio),
            moves=_history(studio),
        )

    @routes.get("/versions/{name}/{number}")
    def version(request: Request, name: str, number: int) -> Response:
        try:
            manifest = studio.store.manifest(ArtifactRef.exact(name, number))
        except (StoreError, ValueError):
            raise PageNotFoundError(f"There is no {name}@v{number}.") from None
        graph = lineage(studio.store, manifest.ref)
        current = studio.store.current().of(name)
        return studio.page(
            request,
            "version.html",
            manifest=manifest,
            aliases=_aliases(current, number),
            picture=picture(graph.edges, graph.root),
            used_by=_used_by(studio, manifest),
            in_use=history.in_use(studio.store, PRODUCTION),
            production=PRODUCTION,
            decisions=_decisions_on(studio, manifest),
        )

    @routes.post("/versions/checkpoint/{number}/use")
    async def use(request: Request, number: int) -> Response:
        given = await fields(request)
        return await run_in_threadpool(partial(_used, studio, request, number, given))

    return routes


def _used(studio: Studio, request: Request, number: int, given: Mapping[str, str]) -> Response:
    """Promote a checkpoint, or roll back from it; then its page."""
    studio.check_may_review()
    ref = str(ArtifactRef.exact(CHECKPOINT, number))
    reason = given.get("reason", "").strip()
    if not reason:
        raise ReasonMissingError("Say why: the history of promotions keeps the reason.")
    run = Run.here().model_copy(update={"user": studio.reviewer(request)})
    if given.get("do") != "roll back":
        recorded = history.promote(studio.store, ref, PRODUCTION, run, reason)
    elif history.in_use(studio.store, PRODUCTION) == ref:
        recorded = history.roll_back(studio.store, PRODUCTION, run, reason)
    else:
        raise ReasonMissingError(f"{ref} is not in use any more: load the page again.")
    return RedirectResponse(f"/versions/{recorded.candidate.replace('@v', '/')}", 303)


def _steps(numbers: list[int], shown: list[int]) -> Iterable[tuple[int | None, int]]:
    """The version before each shown one, and its number."""
    earlier = [None, *numbers]
    return [(earlier[numbers.index(number)], number) for number in shown]


def _history(studio: Studio) -> list[refs.Snapshot]:
    """The last moves of refs, newest first; of decisions in a row only the last one."""
    found: list[refs.Snapshot] = []
    for number in refs.numbers(studio.store.files)[: -LOOKED - 1 : -1]:
        move = refs.read(studio.store.files, number)
        if not (found and move.why.startswith(DECIDED) and found[-1].why.startswith(DECIDED)):
            found.append(move)
        if len(found) == SIZE:
            break
    return found


def entry(
    studio: Studio, number: int, previous: int | None, difference: Callable[..., TableChange]
) -> VersionEntry:
    """A version, compared with the one before it."""
    manifest = studio.store.manifest(ArtifactRef.exact(DATASET, number))
    current = studio.store.current().of(DATASET)
    tables = {bound.name: bound.ref for bound in manifest.inputs}
    rows = {
        name: studio.store.manifest(ref).rows
        for name, ref in tables.items()
        if studio.store.manifest(ref).kind == "table"
    }
    before: dict[str, ArtifactRef] = {}
    if previous is not None:
        earlier = studio.store.manifest(ArtifactRef.exact(DATASET, previous))
        before = {bound.name: bound.ref for bound in earlier.inputs}
    changes = {
        name: difference(before.get(name), tables[name], key)
        for name, key in COMPARED.items()
        if name in tables
    }
    return VersionEntry(manifest, _aliases(current, number), rows, changes)


def _difference(
    studio: Studio, before: ArtifactRef | None, after: ArtifactRef, key: str
) -> TableChange:
    if before == after:
        return TableChange(0, 0, ())
    added = now = studio.store.read(after, [key])[key].combine_chunks()
    removed = 0
    if before is not None:
        old = studio.store.read(before, [key])[key].combine_chunks()
        added = now.filter(pc.invert(pc.is_in(now, old)))
        removed = len(old) + len(added) - len(now)
    return TableChange(len(added), removed, tuple(added.slice(0, THUMBNAILS).to_pylist()))


def _aliases(ref: refs.Ref, number: int) -> tuple[str, ...]:
    tags = sorted(tag for tag, version in ref.tags.items() if version == number)
    return (*(["latest"] if ref.latest == number else []), *tags)


def _others(studio: Studio) -> list[tuple[Manifest, tuple[str, ...]]]:
    """The latest checkpoint, evaluation and other artifacts that no dataset binds."""
    found = []
    for name, ref in sorted(studio.store.current().refs.items()):
        if ref.latest and name != DATASET:
            manifest = studio.store.manifest(ArtifactRef.exact(name, ref.latest))
            if manifest.kind != "table" or name == "reviews":
                found.append((manifest, _aliases(ref, ref.latest)))
    return found


def _decisions_on(studio: Studio, manifest: Manifest) -> list[history.RecordedDecision]:
    """Promotions and rollbacks of a checkpoint, newest first; none of another artifact."""
    if manifest.name != CHECKPOINT:
        return []
    ref = str(manifest.ref)
    every = history.decisions(studio.store)
    return [d for d in reversed(every) if ref in (d.candidate, d.production)]


def _used_by(studio: Studio, manifest: Manifest) -> dict[str, list[ArtifactRef]]:
    """Versions that were made from this one by name, newest first."""
    found: dict[str, list[ArtifactRef]] = {}
    for other in reversed(studio.store.manifests()):
        if any(bound.ref == manifest.ref for bound in other.inputs):
            found.setdefault(other.name, []).append(other.ref)
    return found

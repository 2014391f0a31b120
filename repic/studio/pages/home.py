"""Home: what the version holds, what it lacks, what waits, and what to do next."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from repic.config import SPLITS
from repic.pipeline import split_conflicts, status
from repic.pipeline.reviews import DISPUTED, Decision
from repic.pipeline.suspects import suspicions
from repic.report.provenance import quarantine_section
from repic.studio.decisions import standing
from repic.studio.site import Studio
from repic.studio.versions import VersionTables

NAME, PATH = "Home", "/"
OBJECTIVES = ("oct", "vlt", "ict")
WORK = {"build": "build", "train": "training", "evaluate": "evaluation"}
MEANINGS = {"oct": "Is it the same thing?", "vlt": "Where is it?", "ict": "Who is in the photo?"}


@dataclass(frozen=True)
class NextStep:
    """What a person can do next.

    Attributes:
        why: A sentence.
        command: To type in a terminal; empty if a page does it.
        path: Address of that page; empty if there is none.
    """

    why: str
    command: str = ""
    path: str = ""


@dataclass(frozen=True)
class ReviewState:
    """Doubtful pairs without a decision, decided pairs, those that reviewers differ on, and decided
    pairs that the version was made without."""

    waiting: int
    decided: int
    disputed: int
    unused: int


def routes(studio: Studio) -> APIRouter:
    """Routes of the page."""
    routes = APIRouter()

    @routes.get("/")
    def home(request: Request) -> Response:
        current = status.read(studio.store)
        version = studio.version_or_none(request)
        if version is None:
            why = "Nothing is published in this store yet."
            step = NextStep(why, f"repic build --images FOLDER{_option(studio)}")
            return studio.page(request, "home.html", version=None, current=current, steps=[step])
        review = review_state(studio, version)
        return studio.page(
            request,
            "home.html",
            version=version,
            current=current,
            review=review,
            examples=_examples(version),
            meanings=MEANINGS,
            splits=SPLITS,
            warnings=_warnings(version),
            quarantine=quarantine_section(version.version),
            steps=_steps(studio, version, current, review),
            trained=_latest(studio, "checkpoint"),
            evaluated=_latest(studio, "evaluation"),
        )

    return routes


def review_state(studio: Studio, version: VersionTables) -> ReviewState:
    """How far the review of a version is, without reading all of its pairs."""
    decisions = studio.decisions.of("pair")
    rows = version.version.rows("pairs", "pair_id", decisions)
    together: dict[frozenset[str], dict[str, Decision]] = defaultdict(dict)
    for row in rows:  # the same objects in both orders are one pair
        together[_ends(row)] |= decisions[row["pair_id"]]
    said = {ends: standing(decided) for ends, decided in together.items()}
    sure = {ends: decision for ends, decision in said.items() if decision != "unsure"}
    doubtful = {_ends(row) for row in rows if row["doubtful"]}
    reviewed = {_ends(row): row["review"] for row in rows}
    return ReviewState(
        waiting=version.doubtful - len(doubtful & sure.keys()),
        decided=len(sure),
        disputed=list(sure.values()).count(DISPUTED),
        unused=sum(reviewed[ends] != decision for ends, decision in sure.items()),
    )


def _ends(pair: Mapping[str, Any]) -> frozenset[str]:
    """The two objects of a pair."""
    return frozenset((pair["anchor_id"], pair["other_id"]))


def _examples(version: VersionTables) -> dict[str, dict[str, int]]:
    """Objective -> split -> rows, out of the notes of the build."""
    notes = version.version.dataset.notes.get("examples", {})
    counts: dict[str, dict[str, int]] = {name: {} for name in OBJECTIVES}
    for name, note in notes.items():
        found = counts.setdefault(name, {})
        for by_split in note.get("rows", {}).values():
            for split, number in by_split.items():
                found[split] = found.get(split, 0) + number
    return counts


def _warnings(version: VersionTables) -> list[str]:
    """What the version lacks, in sentences."""
    dataset = version.version.dataset
    notes = dataset.notes.get("examples", {}).values()
    said = [
        f"There are no {note['objective']} examples: {note['why']}."
        for note in notes
        if note.get("why")
    ]
    pairs = dataset.notes.get("pairs", {})
    if pairs.get("nothing_mined"):
        said.append(f"No identity was mined: {pairs['nothing_mined']}.")
    said += [f"{suspicion}." for suspicion in suspicions(pairs)]
    return said


def _steps(
    studio: Studio, version: VersionTables, current: status.Status, review: ReviewState
) -> list[NextStep]:
    """What is sensible next, the most urgent first."""
    steps = []
    store = _option(studio)
    if current.failed:
        work = WORK[current.failed[0].work]
        why = f"The last {work} failed; what it finished is kept."
        steps.append(NextStep(why, f"repic status{store}"))
    if review.unused:
        is_not = "decision is not" if review.unused == 1 else "decisions are not"
        why = f"{review.unused:,} {is_not} in this version: run the command that built it again."
        steps.append(NextStep(why))
    if review.disputed:
        pairs = "pair" if review.disputed == 1 else "pairs"
        why = f"Reviewers differ on {review.disputed:,} {pairs}: left out until they agree."
        steps.append(NextStep(why, path="/pairs?review=disputed"))
    if lost := split_conflicts.reviewed_photos(studio.store, version.version.dataset):
        steps.append(NextStep(f"{split_conflicts.sentence(lost)}.", path="/photos?split=none"))
    if review.waiting:
        wait = "pair waits" if review.waiting == 1 else "pairs wait"
        why = f"{review.waiting:,} doubtful {wait} for a decision; not used until then."
        steps.append(NextStep(why, path="/pairs?doubtful=yes"))
    if _latest(studio, "checkpoint") is None:
        steps.append(NextStep("Nothing is trained on this store yet.", f"repic train{store}"))
    elif _latest(studio, "evaluation") is None:
        why = "No checkpoint is evaluated yet."
        steps.append(NextStep(why, f"repic evaluate run{store}"))
    last = "Add photos and run the command that built it again: only new ones are computed."
    return steps or [NextStep(last)]


def _option(studio: Studio) -> str:
    """What makes a command use this store."""
    return f" --store {shlex.quote(studio.store.location)}"


def _latest(studio: Studio, name: str) -> str | None:
    number = studio.store.current().of(name).latest
    return f"{name}@v{number}" if number else None

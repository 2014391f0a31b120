"""The table of decisions: every candidate that there was, what became of it, and why."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import repic
from repic.errors import CaptionError
from repic.evaluate.results import NAME as EVALUATION
from repic.evaluate.sidebyside import find
from repic.refresh.promotion import ROLLED_BACK, Comparison, Decision
from repic.tables import TABLES
from repic.train import rollouts
from storage.errors import MovedError, NotFoundError, StoreError
from storage.hashing import fingerprint
from storage.manifest import Manifest, Origin, Run
from storage.store import Store

NAME = "promotions"


@dataclass(frozen=True)
class Recorded:
    """A decision as it stands in the table.

    Attributes:
        number: Of the decision, from 1.
        request: Fingerprint of what was asked for: the same again is nothing new.
        production: The checkpoint in use before, if any.
    """

    number: int
    request: str
    verdict: str
    why: str
    candidate: str
    production: str | None
    rows: tuple[dict[str, Any], ...]

    @property
    def in_use(self) -> str | None:
        """The checkpoint in use afterwards."""
        return self.production if self.verdict == "refused" else self.candidate


def decisions(store: Store) -> list[Recorded]:
    """All decisions, the oldest first."""
    try:
        rows = store.read(f"{NAME}@latest").sort_by("decision").to_pylist()
    except NotFoundError:
        return []
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["decision"], []).append(row)
    return [
        Recorded(
            number,
            some[0]["request"],
            some[0]["verdict"],
            some[0]["why"],
            some[0]["candidate"],
            some[0]["production"],
            tuple(some),
        )
        for number, some in found.items()
    ]


def in_use(store: Store, tag: str) -> str | None:
    """The exact version of the checkpoint that has the tag."""
    try:
        return str(store.resolve(f"checkpoint@{tag}"))
    except StoreError:
        return None


def record(
    store: Store,
    request: str,
    candidate: str,
    production: str | None,
    decision: Decision,
    tag: str,
    run: Run,
    settings: dict[str, Any],
    evaluation: Manifest | None = None,
) -> Recorded:
    """Add a decision to the table and move the tag if the candidate takes over, in one step.

    Args:
        evaluation: Of the candidate; it is given the same tag.

    Raises:
        storage.errors.MovedError: the tag has moved since `production` was looked at.
        storage.errors.StoreError: it cannot be written.
    """
    since = store.current()
    if in_use(store, tag) != production:
        raise MovedError(f"checkpoint@{tag} was moved meanwhile: look at it, and try again.")
    known = decisions(store)
    number = len(known) + 1
    now = datetime.datetime.now(datetime.UTC)
    common = {
        "decision": number,
        "made_at": now,
        "request": request,
        "verdict": decision.verdict,
        "why": decision.why,
        "candidate": candidate,
        "production": production,
    }
    nothing = Comparison("-", None, None)
    new = [common | _columns(found) for found in decision.comparisons or (nothing,)]
    table = TABLES[NAME].table([row for old in known for row in old.rows] + new)
    origin = Origin(
        fingerprint=fingerprint([NAME, request, number, now.isoformat()]),
        settings=settings,
        code_version=repic.__version__,
        inputs=tuple(_inputs(store, candidate, production)),
        run=run,
    )
    published: Manifest = store.publish(
        NAME, table, origin, key=TABLES[NAME].key, schema=TABLES[NAME].schema
    )
    made = Recorded(
        number, request, decision.verdict, decision.why, candidate, production, tuple(new)
    )
    tags = {f"checkpoint@{tag}": store.resolve(candidate).version or 0}
    if evaluation is not None:
        tags[f"{EVALUATION}@{tag}"] = evaluation.version
    store.commit({NAME: published.version}, {} if decision.verdict == "refused" else tags, since)
    return made


def roll_back(store: Store, tag: str, run: Run) -> Recorded:
    """Give the tag back to the checkpoint that had it before, and put that down as a decision.

    Raises:
        StoreError: nothing is in use, or nothing was before.
    """
    now = in_use(store, tag)
    if now is None:
        raise StoreError(f"no checkpoint is tagged {tag}: `repic refresh run` promotes one")
    taken = [d for d in decisions(store) if d.verdict != "refused" and d.candidate == now]
    before = next((d.production for d in reversed(taken) if d.verdict != ROLLED_BACK), None)
    if before is None:
        raise StoreError(
            f"{now} is the first that was {tag}, so there is nothing to go back to; "
            f"`repic tag checkpoint@vN {tag}` takes any other"
        )
    request = fingerprint([ROLLED_BACK, now, before, len(decisions(store))])
    decision = Decision(ROLLED_BACK, f"{now} was taken back by hand")
    try:
        evaluation = find(store, before).manifest
    except CaptionError:  # tagged by hand and never evaluated
        evaluation = None
    return record(store, request, before, now, decision, tag, run, {}, evaluation)


def rollouts_of_last(store: Store) -> str | None:
    """Rollouts of the newest candidate that was decided on and is still there."""
    for decision in reversed(decisions(store)):
        try:
            found = rollouts.of(store.manifest(decision.candidate))
        except StoreError:
            continue
        if found:
            return str(found)
    return None


def _columns(found: Comparison) -> dict[str, Any]:
    return {
        "metric": found.metric,
        "before": found.production,
        "after": found.candidate,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "margin": found.margin,
        "met": found.met,
    }


def _inputs(store: Store, *refs: str | None) -> list[Any]:
    return [store.manifest(ref).as_input() for ref in dict.fromkeys(refs) if ref]

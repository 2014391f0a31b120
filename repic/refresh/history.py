"""The history of decisions: the table `promotions`, and the tag of the checkpoint in use."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from repic import config
from repic.errors import CaptionError
from repic.evaluation.results import NAME as EVALUATION
from repic.evaluation.results import find
from repic.models.vlm.checkpoints import find as find_checkpoint
from repic.refresh.decision import ROLLED_BACK, Decision, MetricComparison
from repic.tables import TABLES
from repic.training.rollouts import rollouts_of
from storage.errors import DamagedError, MovedError, NotFoundError, StoreError
from storage.hashing import fingerprint
from storage.manifest import Manifest, Origin, Run
from storage.store import Store

NAME = "promotions"
LONGEST_REASON = 500
"""Characters."""


@dataclass(frozen=True)
class RecordedDecision:
    """A decision of the table.

    Attributes:
        number: Of the decision, from 1.
        request: Fingerprint of the request; the same request is not decided twice.
        production: The checkpoint in use before, if any.
        rows: Its rows in the table, one per metric.
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


def decisions(store: Store) -> list[RecordedDecision]:
    """All decisions, the oldest first."""
    try:
        rows = store.read(f"{NAME}@latest").sort_by("decision").to_pylist()
    except NotFoundError:
        return []
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["decision"], []).append(row)
    return [
        RecordedDecision(
            number,
            some[0]["request"],
            some[0]["verdict"],
            some[0]["why"],
            some[0]["candidate"],
            some[0]["production"],
            tuple(some),
        )
        for number, some in groups.items()
    ]


def in_use(store: Store, tag: str) -> str | None:
    """The exact version of the checkpoint with the tag; None if there is none."""
    try:
        return str(store.resolve(f"checkpoint@{tag}"))
    except NotFoundError:
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
) -> RecordedDecision:
    """Add a decision to the table and, if the candidate is promoted, move the tag, in one step.

    Args:
        evaluation: Of the candidate; it gets the same tag.

    Raises:
        storage.errors.MovedError: the tag has moved since `production` was read.
        storage.errors.StoreError: it cannot be written.
    """
    since = store.current()
    if in_use(store, tag) != production:
        raise MovedError(f"checkpoint@{tag} was moved meanwhile: check it, and try again.")
    earlier = decisions(store)
    number = len(earlier) + 1
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
    nothing = MetricComparison("-", None, None)
    new = [common | _columns(comparison) for comparison in decision.comparisons or (nothing,)]
    table = TABLES[NAME].table([row for old in earlier for row in old.rows] + new)
    origin = Origin(
        fingerprint=fingerprint([NAME, request, number, now.isoformat()]),
        settings=settings,
        code_version=config.version(),
        inputs=tuple(_inputs(store, candidate, production)),
        run=run,
    )
    published: Manifest = store.publish(
        NAME, table, origin, key=TABLES[NAME].key, schema=TABLES[NAME].schema
    )
    recorded = RecordedDecision(
        number, request, decision.verdict, decision.why, candidate, production, tuple(new)
    )
    tags = {f"checkpoint@{tag}": store.resolve(candidate).version or 0}
    if evaluation is not None:
        tags[f"{EVALUATION}@{tag}"] = evaluation.version
    store.commit({NAME: published.version}, {} if decision.verdict == "refused" else tags, since)
    return recorded


def roll_back(store: Store, tag: str, run: Run, reason: str = "") -> RecordedDecision:
    """Return the tag to the checkpoint that had it before, and record that as a decision.

    Raises:
        StoreError: no checkpoint is in use, or there is no earlier one.
    """
    now = in_use(store, tag)
    if now is None:
        raise StoreError(f"no checkpoint is tagged {tag}: `repic refresh run` promotes one")
    promotions = [d for d in decisions(store) if d.verdict != "refused" and d.candidate == now]
    before = next((d.production for d in reversed(promotions) if d.verdict != ROLLED_BACK), None)
    if before is None:
        raise StoreError(
            f"{now} is the first checkpoint tagged {tag}, so there is no earlier one; "
            f"`repic tag checkpoint@vN {tag}` selects any other"
        )
    decision = Decision(ROLLED_BACK, _by_hand(f"{now} was taken back", reason))
    return _record_by_hand(store, before, now, decision, tag, run)


def promote(store: Store, checkpoint: str, tag: str, run: Run, reason: str) -> RecordedDecision:
    """Give the tag to a checkpoint, and record that as a decision.

    Raises:
        ConfigError: the version is not a checkpoint.
        StoreError: it has the tag already.
    """
    chosen, now = str(find_checkpoint(store, checkpoint).ref), in_use(store, tag)
    if chosen == now:
        raise StoreError(f"{now} is tagged {tag} already")
    decision = Decision("promoted", _by_hand(f"{chosen} was promoted", reason))
    return _record_by_hand(store, chosen, now, decision, tag, run)


def _by_hand(what: str, reason: str) -> str:
    """A sentence with the reason on one line."""
    reason = " ".join("".join(c if c.isprintable() else " " for c in reason).split())
    return f"{what} by hand{': ' if reason else ''}{reason[:LONGEST_REASON]}"


def _record_by_hand(
    store: Store, checkpoint: str, now: str | None, decision: Decision, tag: str, run: Run
) -> RecordedDecision:
    request = fingerprint([decision.verdict, now, checkpoint, len(decisions(store))])
    try:
        evaluation = find(store, checkpoint).manifest
    except CaptionError:  # never evaluated
        evaluation = None
    return record(store, request, checkpoint, now, decision, tag, run, {}, evaluation)


def rollouts_of_last(store: Store) -> str | None:
    """Rollouts of the newest decided candidate that still exists."""
    for decision in reversed(decisions(store)):
        try:
            ref = rollouts_of(store.manifest(decision.candidate))
        except (NotFoundError, DamagedError):
            continue
        if ref:
            return str(ref)
    return None


def _columns(comparison: MetricComparison) -> dict[str, Any]:
    return {
        "metric": comparison.metric,
        "before": comparison.production,
        "after": comparison.candidate,
        "difference": comparison.difference,
        "low": comparison.low,
        "high": comparison.high,
        "n": comparison.n,
        "margin": comparison.margin,
        "met": comparison.met,
    }


def _inputs(store: Store, *refs: str | None) -> list[Any]:
    return [store.manifest(ref).as_input() for ref in dict.fromkeys(refs) if ref]

"""Reviews: decisions of reviewers on pairs and boxes, made one by one or exchanged as CSV.

Each reviewer has one decision per pair or box, so that none takes away another's. A build applies
what they agree on (`settled`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from repic.errors import SchemaError
from repic.tables import TABLES
from storage.errors import MovedError, NotFoundError
from storage.hashing import fingerprint
from storage.manifest import ArtifactRef, Manifest, Origin
from storage.store import Store

COLUMNS = [column.name for column in TABLES["reviews"].columns]
SUBJECTS, DECISIONS = ("pair", "object"), ("accept", "reject", "unsure")
DISPUTED = "disputed"
"""What `settled` says of a subject on which reviewers differ."""

Decision = dict[str, Any]
"""A row of the table."""


def settled(reviews: pa.Table, subject: str) -> pa.Table:
    """What reviewers say of each pair or object: `subject_id` and `decision`.

    Unsure ones do not count. Where the others differ, the decision is `disputed`.

    Args:
        reviews: Rows of the reviews table.
        subject: pair or object.
    """
    sure = pc.and_(
        pc.equal(reviews["subject"], subject), pc.not_equal(reviews["decision"], "unsure")
    )
    rows = reviews.filter(sure).group_by("subject_id", use_threads=False)
    found = rows.aggregate([("decision", "min"), ("decision", "max")])
    agreed = pc.equal(found["decision_min"], found["decision_max"])
    decision = pc.if_else(agreed, found["decision_min"], DISPUTED)
    return pa.table({"subject_id": found["subject_id"], "decision": decision})


def record(store: Store, decisions: Iterable[Mapping[str, Any]]) -> Manifest:
    """Add decisions to the latest ones; one without a `decision` withdraws the reviewer's own.

    Other processes may decide at the same time: the decisions of all of them are kept.

    Args:
        decisions: The columns of the table; of several of a reviewer on a subject, the last counts.

    Raises:
        SchemaError: a value is invalid; nothing is published.
        storage.errors.StoreError: the store cannot be read or written.
    """
    changes = [
        (
            row,
            _checked(row, f"the decision on {row['subject_id']}") if row["decision"] else None,
        )
        for row in decisions
    ]
    while True:
        snapshot = store.current()
        latest = snapshot.of("reviews").latest
        every = store.read(ArtifactRef.exact("reviews", latest)).to_pylist() if latest else []
        rows = {_key(row): row for row in every}
        for given, row in changes:
            if row:
                rows[_key(row)] = row
            else:
                rows.pop(_key(given), None)
        manifest = _publish(store, list(rows.values()))
        try:
            store.commit({"reviews": manifest.version}, since=snapshot)
        except MovedError:
            continue  # somebody else decided meanwhile
        return manifest


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in TABLES["reviews"].key)


def export(store: Store, path: Path) -> int:
    """Write all decisions, and a row without a decision for each undecided doubtful pair.

    Returns:
        Number of rows written.
    """
    rows = decisions(store)
    decided = {row["subject_id"] for row in rows}
    pairs = store.read("pairs@latest", columns=["pair_id", "doubtful"]).to_pylist()
    waiting = [p["pair_id"] for p in pairs if p["doubtful"] and p["pair_id"] not in decided]
    rows += [{"subject": "pair", "subject_id": pair} for pair in sorted(waiting)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def read(store: Store, path: Path) -> Manifest:
    """Publish the decisions of a CSV file; rows without a decision are skipped.

    The file replaces all earlier decisions.

    Raises:
        SchemaError: a column is missing or a value is invalid; nothing is published.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := set(COLUMNS) - {"note"} - set(reader.fieldnames or ()):
                raise SchemaError(f"{path} lacks the column {', '.join(sorted(missing))}")
            rows = [
                _checked(row, f"{path}, line {reader.line_num}")
                for row in reader
                if (row["decision"] or "").strip()
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SchemaError(f"{path} is not CSV in UTF-8 ({error}): export it again") from error
    manifest = _publish(store, rows)
    store.commit({"reviews": manifest.version})
    return manifest


def _publish(store: Store, rows: list[Decision]) -> Manifest:
    table = TABLES["reviews"].table(rows)
    # The order of columns is that of the table, not of who made the rows.
    origin = Origin(fingerprint=fingerprint(sorted([str(r[c]) for c in COLUMNS] for r in rows)))
    return store.publish("reviews", table, origin, key=TABLES["reviews"].key)


def unknown(store: Store, decided: Manifest) -> list[str]:
    """Subject ids of decisions that no version of the pairs or detections table contains, sorted.

    A decision may refer to a pair that only an older version contains.
    """
    rows = store.read(decided.ref).to_pylist()
    missing: list[str] = []
    for subject, table, key in (
        ("pair", "pairs", "pair_id"),
        ("object", "detections", "object_id"),
    ):
        wanted = {row["subject_id"] for row in rows if row["subject"] == subject}
        for version in reversed(store.versions(table)):
            if not wanted:
                break
            with suppress(NotFoundError):  # a version that is withdrawn
                rows_of = store.read(ArtifactRef.exact(table, version), columns=[key])
                wanted -= set(rows_of[key].to_pylist())
        missing += wanted
    return sorted(missing)


def decisions(store: Store) -> list[Decision]:
    """The latest decisions of all reviewers; empty if there are none."""
    try:
        return store.read("reviews@latest").to_pylist()
    except NotFoundError:
        return []


def _checked(row: Mapping[str, str | None], where: str) -> Decision:
    clean = {column: (row.get(column) or "").strip() for column in COLUMNS}
    if clean["subject"] not in SUBJECTS or clean["decision"] not in DECISIONS:
        raise SchemaError(
            f"{where}: subject is {' or '.join(SUBJECTS)} and decision {', '.join(DECISIONS)}"
        )
    if not clean["subject_id"] or not clean["reviewer"]:
        raise SchemaError(f"{where}: a decision needs a subject_id and a reviewer")
    return {**clean, "note": clean["note"] or None}

"""Reviews: decisions of a reviewer on pairs and boxes, exported and imported as CSV."""

from __future__ import annotations

import csv
from pathlib import Path

from repic.errors import SchemaError
from repic.tables import TABLES
from storage.errors import NotFoundError
from storage.hashing import fingerprint
from storage.manifest import Manifest, Origin
from storage.store import Store

COLUMNS = [column.name for column in TABLES["reviews"].columns]
SUBJECTS, DECISIONS = ("pair", "object"), ("accept", "reject")


def export(store: Store, path: Path) -> int:
    """Write all decisions, and a row without a decision for each undecided doubtful pair.

    Returns:
        Number of rows written.
    """
    rows = _decisions(store)
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
    table = TABLES["reviews"].table(rows)
    origin = Origin(fingerprint=fingerprint(sorted(list(map(str, row.values())) for row in rows)))
    manifest = store.publish("reviews", table, origin, key=TABLES["reviews"].key)
    store.commit({"reviews": manifest.version})
    return manifest


def unknown(store: Store, decisions: Manifest) -> list[str]:
    """Subject ids of decisions that no version of the pairs or detections table contains, sorted.

    A decision may refer to a pair that only an older version contains.
    """
    rows = store.read(decisions.ref).to_pylist()
    missing: list[str] = []
    for subject, table, key in (
        ("pair", "pairs", "pair_id"),
        ("object", "detections", "object_id"),
    ):
        wanted = {row["subject_id"] for row in rows if row["subject"] == subject}
        for version in reversed(store.versions(table)):
            if not wanted:
                break
            ref = f"{table}@v{version}"
            wanted -= set(store.read(ref, columns=[key])[key].to_pylist())
        missing += wanted
    return sorted(missing)


def _decisions(store: Store) -> list[dict]:
    try:
        return store.read("reviews@latest").to_pylist()
    except NotFoundError:
        return []


def _checked(row: dict[str, str], where: str) -> dict:
    clean = {column: (row.get(column) or "").strip() for column in COLUMNS}
    if clean["subject"] not in SUBJECTS or clean["decision"] not in DECISIONS:
        raise SchemaError(
            f"{where}: subject is {' or '.join(SUBJECTS)} and decision {' or '.join(DECISIONS)}"
        )
    if not clean["subject_id"] or not clean["reviewer"]:
        raise SchemaError(f"{where}: a decision needs a subject_id and a reviewer")
    return {**clean, "note": clean["note"] or None}

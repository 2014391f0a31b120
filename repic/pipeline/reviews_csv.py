"""Decisions of reviewers as a CSV file, and back."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

from repic.errors import SchemaError
from repic.pipeline import reviews
from repic.pipeline.reviews import COLUMNS, parse_box, parse_box_id
from storage.errors import NotFoundError
from storage.manifest import ArtifactRef, Manifest
from storage.store import Store

NEEDED = ("subject", "subject_id", "decision", "reviewer")


def export(store: Store, path: Path) -> int:
    """Write all decisions, and a row without a decision for each undecided doubtful pair.

    Returns:
        Number of rows written.
    """
    rows = [{**row, "box": _text(row)} for row in reviews.decisions(store)]
    decided = {row["subject_id"] for row in rows}
    pairs = store.read("pairs@latest", columns=["pair_id", "doubtful"]).to_pylist()
    waiting = [p["pair_id"] for p in pairs if p["doubtful"] and p["pair_id"] not in decided]
    rows += [{"subject": "pair", "subject_id": pair} for pair in sorted(waiting)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _text(row: dict[str, Any]) -> str:
    """The column `box` as x1,y1,x2,y2; empty without one."""
    box = row.get("box")
    return ",".join(f"{edge:.2f}" for edge in box) if box else ""


def read(store: Store, path: Path) -> Manifest:
    """Add the decisions of a CSV file to those of the store.

    A reviewer's decision on a subject replaces their earlier one; all others stay. A row with a
    reviewer and without a decision withdraws theirs; one without both says nothing.

    Raises:
        SchemaError: a column is missing or a value is invalid; nothing is published.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := set(NEEDED) - set(reader.fieldnames or ()):
                raise SchemaError(f"{path} lacks the column {', '.join(sorted(missing))}")
            rows = [_decision(row, f"{path}, line {reader.line_num}") for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SchemaError(f"{path} is not CSV in UTF-8 ({error}): export it again") from error
    said = [row for row in rows if row["decision"] or row["reviewer"]]
    keys = Counter((row["subject"], row["subject_id"], row["reviewer"]) for row in said)
    if twice := [key for key, count in keys.items() if count > 1]:
        raise SchemaError(f"{path} has {' '.join(twice[0])} twice: give each row once")
    return reviews.record(store, said)


def _decision(row: dict[str, str | None], where: str) -> dict[str, Any]:
    """A row of the file as `reviews.add` takes it; an empty label is none."""
    text = {column: (row.get(column) or "").strip() for column in COLUMNS}
    if not text["decision"]:
        return text
    given: dict[str, Any] = {**text, "box": None, "label": text["label"] or None}
    if text["box"] or (text["subject"] == "box" and text["decision"] == "accept"):
        given["box"] = parse_box(text["box"]).as_list()
    return reviews.checked(given, where)


def unknown(store: Store, decided: Manifest) -> list[str]:
    """Subject ids of decisions on what no version of the tables contains, sorted.

    A decision may refer to a pair that only an older version contains.
    """
    rows = store.read(decided.ref).to_pylist()
    missing: set[str] = set()
    for subjects, table, key in (
        (("pair",), "pairs", "pair_id"),
        (("object",), "detections", "object_id"),
        (("box", "identity"), "images", "image_id"),
    ):
        ids = {row["subject_id"] for row in rows if row["subject"] in subjects}
        of_key: dict[str, set[str]] = defaultdict(set)
        for id_ in ids:
            of_key[parse_box_id(id_)[0] if key == "image_id" else id_].add(id_)
        for version in reversed(store.versions(table)):
            if not of_key:
                break
            with suppress(NotFoundError):  # a version that is withdrawn
                ids_in = store.read(ArtifactRef.exact(table, version), columns=[key])[key]
                for found in of_key.keys() & set(ids_in.to_pylist()):
                    del of_key[found]
        missing = missing.union(*of_key.values())
    return sorted(missing)

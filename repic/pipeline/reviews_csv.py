"""Decisions of reviewers as a CSV file, and back.

Beside the columns of the table a file has what a reviewer needs to see (`SHOWN`), which an import
ignores. A text that a spreadsheet would run as a formula gets an apostrophe before it, which an
import takes off again.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from repic.errors import SchemaError
from repic.images.fetch import ImageRefused
from repic.pipeline import reviews
from repic.pipeline.progress import NoProgress, Progress
from repic.pipeline.review_subjects import ReviewPlace, ReviewSubject, ReviewSubjects
from repic.pipeline.reviews import COLUMNS, parse_box, parse_box_id
from storage.errors import NotFoundError
from storage.manifest import ArtifactRef, Manifest
from storage.store import Store

NEEDED = ("subject", "subject_id", "decision", "reviewer")
OF_PAIR = ("kind", "band", "similarity", "margin")
OF_PLACES = ("picture", "photo", "other_picture", "other_photo")
SHOWN = (*OF_PAIR, *OF_PLACES)
"""Columns for the eye: of a pair, its numbers; of each object, a small picture and the photo."""

FORMULAS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""First characters of a text that some spreadsheet runs, also in full width."""

PICTURES = "-pictures"
"""What the folder of the pictures has in its name after that of the file."""


def export(
    store: Store,
    path: Path,
    pictures: bool = True,
    progress: Progress | None = None,
) -> int:
    """Write all decisions, and a row without a decision for each undecided doubtful pair.

    Args:
        pictures: Whether to write a small picture of each object or box into the folder
            `NAME-pictures` beside `NAME.csv`; where there is none, the column says why.

    Returns:
        Number of rows written.

    Raises:
        storage.errors.StoreError: the store has no build, or cannot be read.
        OSError: the files cannot be written.
    """
    decided = reviews.decisions(store)
    subjects = ReviewSubjects(store, decided)
    total = len(decided) + len(subjects.waiting)
    progress = progress or NoProgress()
    folder = path.with_name(path.stem + PICTURES) if pictures else None
    made: dict[str, str] = {}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, (*COLUMNS, *SHOWN))
        writer.writeheader()
        progress.phase("rows", total)
        for row, subject in _rows(decided, subjects):
            text = {name: _safe(value) for name, value in row.items() if isinstance(value, str)}
            writer.writerow({**text, "box": _text(row), **_shown(subject, folder, made)})
            progress.advance()
    return total


def _rows(
    decided: Sequence[reviews.Decision], subjects: ReviewSubjects
) -> Iterator[tuple[dict[str, Any], ReviewSubject]]:
    """Decisions, then undecided pairs, each with what it is about."""
    yield from zip(decided, subjects.of(decided), strict=True)
    for subject in subjects.of_waiting():
        yield {"subject": "pair", "subject_id": subject.pair["pair_id"]}, subject


def _shown(subject: ReviewSubject, folder: Path | None, made: dict[str, str]) -> dict[str, str]:
    """The columns `SHOWN`.

    Args:
        made: Key of a picture -> what stands for it, added to.
    """
    found: dict[str, str] = {}
    if pair := subject.pair:
        found = {"kind": pair["kind"], "band": pair["band"]}
        found |= {name: f"{pair[name]:.4f}" for name in ("similarity", "margin")}
    columns = zip(OF_PLACES[::2], OF_PLACES[1::2], strict=True)
    for (picture, photo), place in zip(columns, subject.places, strict=False):
        if place:
            found[photo] = _safe(place.uri)
        if place and folder:
            if place.key not in made:
                made[place.key] = _picture(place, folder)
            found[picture] = _safe(made[place.key])
    return found


def _picture(place: ReviewPlace, folder: Path) -> str:
    """Write a picture; its path relative to the CSV file, or why there is none."""
    try:
        data = place.jpeg()
    except (ImageRefused, OSError, ValueError) as error:
        return f"cannot be shown: {error}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{place.key}.jpg"
    file.write_bytes(data)
    return f"{folder.name}/{file.name}"


def _is_formula(text: str) -> bool:
    return text.lstrip("'")[:1] in FORMULAS


def _safe(text: str) -> str:
    """The text as no spreadsheet runs it; see `_plain`."""
    return f"'{text}" if _is_formula(text) else text


def _plain(text: str) -> str:
    """The text that `_safe` was given."""
    return text[1:] if text.startswith("'") and _is_formula(text) else text


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
    text = {column: _plain((row.get(column) or "").strip()) for column in COLUMNS}
    if not text["decision"]:
        return text
    given: dict[str, Any] = {**text, "box": None, "label": text["label"] or None}
    if text["box"] or (text["subject"] == "box" and text["decision"] == "accept"):
        try:
            given["box"] = parse_box(text["box"]).as_list()
        except SchemaError as error:
            raise SchemaError(f"{where}: {error}") from error
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

"""Doubtful pairs as tasks of Label Studio, and decisions out of its JSON export.

A task has both objects as pictures inside it (data URLs), so that Label Studio needs no access to
the photos. `CONFIG` is the labelling interface that the tasks are made for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repic.errors import SchemaError
from repic.images.fetch import ImageRefused
from repic.pipeline import reviews
from repic.pipeline.progress import NoProgress, Progress
from repic.pipeline.review_subjects import ReviewSubject, ReviewSubjects
from storage.manifest import Manifest
from storage.store import Store

CHOICES = "decision"
"""Name of the choices in the labelling interface."""

CONFIG = """<View>
  <Header value="$question"/>
  <View style="display: flex">
    <Image name="anchor" value="$anchor"/>
    <Image name="other" value="$other"/>
  </View>
  <Text name="facts" value="$facts"/>
  <Choices name="decision" toName="anchor" choice="single" showInline="true" required="true">
    <Choice value="accept" hotkey="y"/>
    <Choice value="reject" hotkey="n"/>
    <Choice value="unsure" hotkey="u"/>
  </Choices>
</View>
"""

QUESTIONS = {
    "positive": "The same thing twice? accept: yes",
    "negative": "Two different things? accept: yes",
}

LARGEST = 1 << 30
"""Bytes of a file that is imported: it has the pictures of its tasks."""


def export(store: Store, path: Path, progress: Progress | None = None) -> int:
    """Write a task for each undecided doubtful pair of the latest version.

    Returns:
        Number of tasks.
    """
    subjects = ReviewSubjects(store, reviews.decisions(store))
    total = len(subjects.waiting)
    progress = progress or NoProgress()
    progress.phase("tasks", total)
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, subject in enumerate(subjects.of_waiting()):
            file.write(",\n" if number else "\n")
            json.dump({"data": _data(subject)}, file, ensure_ascii=False)
            progress.advance()
        file.write("\n]\n")
    return total


def _data(subject: ReviewSubject) -> dict[str, Any]:
    pair = subject.pair
    data: dict[str, Any] = {
        "pair_id": pair["pair_id"],
        "question": QUESTIONS[pair["kind"]],
        **{name: pair[name] for name in ("kind", "band", "similarity", "margin")},
    }
    facts = [f"{pair['kind']}, band {pair['band']}, similarity {pair['similarity']:.4f}"]
    for end, place in zip(("anchor", "other"), subject.places, strict=True):
        data |= {end: "", f"{end}_photo": place.uri if place else ""}
        if place is None:
            facts.append(f"{end}: the object is gone from the latest version")
            continue
        try:
            data[end] = f"data:image/jpeg;base64,{base64.b64encode(place.jpeg()).decode()}"
        except (ImageRefused, OSError, ValueError) as error:
            facts.append(f"{end}: {place.uri} cannot be read ({error})")
    return {**data, "facts": "; ".join(facts)}


def read(store: Store, path: Path) -> Manifest:
    """Add the decisions of a JSON export to those of the store; none is withdrawn.

    Skipped and empty annotations decide nothing. The reviewer is the e-mail address or the number
    of who made the annotation.

    Raises:
        SchemaError: it is no such export, or a decision is invalid; nothing is published.
        storage.errors.StoreError: the store cannot be written.
    """
    if path.stat().st_size > LARGEST:
        raise SchemaError(f"{path} is larger than {LARGEST >> 20} MB: export fewer tasks at once")
    try:
        tasks = json.loads(path.read_bytes())
        rows = [row for task in tasks for row in _decisions(task)]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise SchemaError(
            f"{path} is no JSON export of Label Studio with the tasks of `repic reviews export`: "
            "export it as JSON, not as JSON-MIN or CSV"
        ) from None
    if not rows:
        raise SchemaError(f"{path} has no decision: annotate a task first")
    return reviews.record(store, rows)


def _decisions(task: Any) -> Iterator[dict[str, Any]]:
    pair = task["data"]["pair_id"]
    for annotation in task["annotations"]:
        who = annotation.get("completed_by")
        who = who.get("email") or who["id"] if isinstance(who, dict) else who
        for result in [] if annotation.get("was_cancelled") else annotation["result"]:
            if result["from_name"] == CHOICES:
                [decision] = result["value"]["choices"]
                yield {
                    "subject": "pair",
                    "subject_id": str(pair),
                    "decision": str(decision),
                    "reviewer": str(who) if isinstance(who, str) else f"label-studio {who}",
                    "note": "",
                }

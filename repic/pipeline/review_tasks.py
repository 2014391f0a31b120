"""Doubtful pairs as tasks of Label Studio, and decisions out of its JSON export.

A task has both objects as pictures inside it (data URLs), so that Label Studio needs no access to
the photos. `CONFIG` is the labelling interface that the tasks are made for.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repic.errors import SchemaError
from repic.images.coordinates import Box
from repic.images.decode import open_image
from repic.images.fetch import ImageRefused
from repic.pipeline import reviews
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

SIDE = 256
"""Longest side of a picture in a task, in pixels."""

LARGEST = 1 << 30
"""Bytes of a file that is imported: it has the pictures of its tasks."""

Row = Mapping[str, Any]


def export(store: Store, path: Path) -> int:
    """Write a task for each undecided doubtful pair of the latest version.

    Returns:
        Number of tasks.
    """
    decided = {row["subject_id"] for row in reviews.decisions(store)}
    pairs = store.read("pairs@latest").to_pylist()
    waiting = [p for p in pairs if p["doubtful"] and p["pair_id"] not in decided]
    waiting.sort(key=lambda pair: pair["pair_id"])
    objects = {row["object_id"]: row for row in store.read("objects@latest").to_pylist()}
    photos = {
        row["image_id"]: row["uri"]
        for row in store.read("images@latest", ["image_id", "uri"]).to_pylist()
    }
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, pair in enumerate(waiting):
            file.write(",\n" if number else "\n")
            json.dump({"data": _data(pair, objects, photos)}, file, ensure_ascii=False)
        file.write("\n]\n")
    return len(waiting)


def _data(pair: Row, objects: Mapping[str, Row], photos: Mapping[str, str]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "pair_id": pair["pair_id"],
        "question": QUESTIONS[pair["kind"]],
        **{name: pair[name] for name in ("kind", "band", "similarity", "margin")},
    }
    facts = [f"{pair['kind']}, band {pair['band']}, similarity {pair['similarity']:.4f}"]
    for end in ("anchor", "other"):
        thing = objects[pair[f"{end}_id"]]
        uri = photos[thing["image_id"]]
        data[f"{end}_photo"] = uri
        try:
            data[end] = _picture(uri, thing)
        except (ImageRefused, OSError, ValueError) as error:
            data[end] = ""
            facts.append(f"{end}: {uri} cannot be read ({error})")
    return {**data, "facts": "; ".join(facts)}


def _picture(uri: str, thing: Row) -> str:
    """The box of an object as a data URL."""
    box = Box(thing["x1"], thing["y1"], thing["x2"], thing["y2"])
    picture = open_image(uri, box, thing["image_id"])
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


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

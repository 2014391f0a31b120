"""Small published evaluations about the photos of a store, without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from repic.evaluation.results import SUMMARY
from repic.report.evaluation_page import SCORES
from repic.tables import TABLES
from storage.hashing import fingerprint
from storage.manifest import Manifest, Origin
from storage.store import Store

PROTOCOLS = ("skip-retrieval", "wrong")


def publish(
    store: Store,
    model: str = "pal",
    right: Callable[[int], bool] = lambda photo: photo % 2 == 0,
    text: str = "mug",
    photos: int = 6,
) -> Manifest:
    """An evaluation of a model that is right about some photos; `text` stands in all texts."""
    captions: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for number, photo in enumerate(store.read("images@latest").to_pylist()[:photos]):
        for protocol in PROTOCOLS:
            question = fingerprint([photo["image_id"], protocol])
            common = {
                "caption_id": fingerprint([question, model]),
                "question_id": question,
                "suite": text,
                "part": text,
                "protocol": protocol,
                "image_id": photo["image_id"],
            }
            captions.append(common | _caption(photo, model, text, right(number)))
            scores.append(common | _score(right(number), protocol))
    rows = {"captions": captions, "scores": scores, "metrics": _metrics(model, text, scores)}
    tables = [
        store.publish(
            name,
            TABLES[name].table(rows[name]),
            Origin(fingerprint=fingerprint([name, model, text])),
            key=TABLES[name].key,
            schema=TABLES[name].schema,
        )
        for name in rows
    ]
    summary = {
        "model": model,
        "suite": text,
        "protocols": list(PROTOCOLS),
        "photos": photos,
        "concepts": 2,
        "remarks": [text],
        "threshold": 0.5,
        "curve": [
            {"threshold": t, "hits": 1 - t, "false_accepts": (1 - t) / 2} for t in (0.0, 0.5, 1.0)
        ],
    }
    return put(store, json.dumps(summary).encode(), [table.as_input() for table in tables])


def put(store: Store, summary: bytes, inputs: Any = ()) -> Manifest:
    """A version of `evaluation` of any content."""
    origin = Origin(fingerprint=fingerprint([summary.hex(), len(inputs)]), inputs=tuple(inputs))
    made = store.publish_files("evaluation", {SUMMARY: summary}, origin, kind="report")
    store.commit({made.name: made.version})
    return made


def _caption(photo: dict[str, Any], model: str, text: str, is_right: bool) -> dict[str, Any]:
    whole = (0.0, 0.0, float(photo["width"]), float(photo["height"]))
    picture = {key: photo[key] for key in ("image_id", "uri", "width", "height")}
    return {
        "model": model,
        "layout": "training",
        "concepts": [text],
        "prompt": [
            {"type": "image", "text": ""},
            {"type": "text", "text": f"This is {text}."},
            {"type": "image", "text": ""},
        ],
        "images": [
            picture | {"role": "reference", "crop": (1.0, 1.0, 60.0, 60.0)},
            picture | {"role": "query", "crop": whole},
        ],
        "references": [{"name": text, "info": text, "present": True}],
        "crops": [
            {
                "box": (5.0, 5.0, 50.0, 50.0),
                "label": text,
                "confidence": 0.5,
                "nearest": [{"name": text, "similarity": 0.75}],
            }
        ],
        "scene": [],
        "caption": f"Here is {text}." if is_right else "",
    }


def _score(is_right: bool, protocol: str) -> dict[str, Any]:
    value = float(is_right)
    return {
        "precision": value,
        "recall": value,
        "f1": value,
        "exact": is_right,
        "extra_names": 0,
        "false_mention": protocol == "wrong" and not is_right,
        "claims": 1,
        "right_claims": int(is_right),
        "clip_score": None,
        "reason": "right" if is_right else "missing_name",
    }


def _metrics(model: str, text: str, scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for protocol in PROTOCOLS:
        f1 = [score["f1"] for score in scores if score["protocol"] == protocol]
        for name in SCORES:
            value = sum(f1) / len(f1)
            rows.append(
                {
                    "model": model,
                    "suite": text,
                    "protocol": protocol,
                    "part": "all",
                    "metric": "strict",
                    "score": name,
                    "value": value,
                    "low": max(0.0, value - 0.1),
                    "high": min(1.0, value + 0.1),
                    "n": len(f1),
                    "unit": "captions",
                }
            )
    return rows

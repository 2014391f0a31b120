"""Records of RePIC's released training data as rows of examples."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repic.errors import TargetError
from repic.images import uris
from repic.images.decode import read_header
from repic.images.fetch import ImageRefused
from repic.images.identity import image_id_of
from repic.objectives.base import Row, image_block, text_block
from repic.sources import coco_fields, local_files
from storage.hashing import fingerprint

MAX_BYTES = 512 << 20
"""Largest file of a JSON list; JSON lines are read line by line."""
TEMPLATE = "released"
_ANSWER = {
    "yes_no": "Answer only yes or no.",
    "iou": "Answer in JSON with its bounding box as bbox_2d.",
}
"""What the released loader adds to such questions, in our words."""
_NAME = re.compile(r"<([^<>/]+)>")


def records(path: Path) -> Iterator[Any]:
    """The records of a file of JSON lines, or of a JSON list; None for a line that is not JSON.

    Raises:
        TargetError: it is no list of records.
        repic.errors.SourceError: it cannot be read.
    """
    if path.suffix == ".jsonl":
        for line in local_files.lines(path):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield None
        return
    try:
        listed = json.loads(local_files.text(path, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise TargetError(f"{path} is not JSON ({error}): give the released records") from error
    if not isinstance(listed, list):
        raise TargetError(f"{path} is no JSON list of records")
    yield from listed


def row_of(record: Mapping[str, Any], paths: Sequence[Path]) -> Row | None:
    """The row of a record whose pictures are at `paths`; None if it cannot be used."""
    method = record.get("accu_reward_method", "iou")
    question = coco_fields.sentence(record.get("problem"))
    told = _told(method, record.get("solution"))
    if told is None or not question or (method == "iou") != (len(paths) == 1):
        return None
    try:
        shown = [_picture(path) for path in paths]
    except (ImageRefused, OSError):
        return None
    for picture in shown[:-1]:
        picture["role"] = "reference"
    text = f"{question} {_ANSWER[method]}" if method in _ANSWER else question
    prompt = [*(image_block() for _ in shown), text_block(text)]
    key = [method, text, [picture["image_id"] for picture in shown], told]
    return {
        "example_id": fingerprint(key),
        "image_id": shown[-1]["image_id"],
        "split": "train",
        "template_id": TEMPLATE,
        "prompt": prompt,
        "images": shown,
        "caption": None,
        "scene": [],
        "distinctive_words": [],
        "distractor_words": [],
        "origin": None,
        "pair_ids": [],
        "band": None,
        "similarity": None,
        "seed": 0,
        **told,
    }


def _told(method: Any, solution: Any) -> dict[str, Any] | None:
    """The columns that a method and its solution determine; None if they do not fit."""
    empty: dict[str, Any] = {"box": None, "references": []}
    match method:
        case "yes_no":
            answer = coco_fields.sentence(solution).casefold().rstrip(".")
            if answer in ("yes", "no"):
                kind = "positive" if answer == "yes" else "negative"
                return {**empty, "objective": "oct", "kind": kind, "answer": answer}
        case "iou":
            box = _box(solution)
            if box is not None:
                vlt = {"objective": "vlt", "kind": "expression", "answer": "{box}"}
                return {**empty, **vlt, "box": box}
        case "yes_no_name" | "yes_no_name_multi":
            listed = [solution] if isinstance(solution, str) else solution
            told = listed if isinstance(listed, list) else []
            names = [_NAME.findall(coco_fields.text(name)) for name in told]
            if names and all(len(found) == 1 for found in names):
                references = [_reference(name) for (name,) in names]
                kind = "single" if len(references) == 1 else "multi"
                ict = {"objective": "ict", "kind": kind, "answer": ""}
                return {**empty, **ict, "references": references}
    return None


def _reference(name: str) -> dict[str, Any]:
    return {"name": name, "info": "", "present": True, "object_id": "", "locale": ""}


def _box(solution: Any) -> list[float] | None:
    try:
        x1, y1, x2, y2 = (float(value) for value in solution)
    except (TypeError, ValueError, OverflowError):
        return None
    return [x1, y1, x2, y2] if 0 <= x1 < x2 < 1e6 and 0 <= y1 < y2 < 1e6 else None


def _picture(path: Path) -> dict[str, Any]:
    """An entry of the `images` column: the whole picture, as the query."""
    data = path.read_bytes()
    header = read_header(data)
    width, height = header.upright
    return {
        "role": "query",
        "image_id": image_id_of(hashlib.sha256(data).hexdigest(), None),
        "uri": uris.file_uri(path),
        "width": width,
        "height": height,
        "crop": [0.0, 0.0, float(width), float(height)],
        "augmentation": None,
    }

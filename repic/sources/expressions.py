"""Referring expressions: files of RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO.

A file is a list of `{"image_id", "ann_id" or "bbox", "sentences" or "expressions", "split"}`, as
JSON or as the pickle that UNC distributes (read as plain data, `repic.sources.plain_pickle`).
`ann_id` is an annotation of the instances file, `bbox` (x, y, w, h) is the box of one.

gRefCOCO gives a list of `ann_id`: several objects, or none (empty, or -1). Such expressions do not
refer to exactly one object and are left out; the split of their photo counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from repic.errors import SourceError
from repic.images import uris
from repic.sources import coco_fields, json_stream, plain_pickle
from repic.sources.base import Annotation, split_named, strictest
from repic.sources.coco_file import Objects

SAME_BOX = 0.9
"""Minimum IoU of the box of a referring expression and an annotation that it matches."""

PICKLES = (".p", ".pkl", ".pickle")
SUFFIXES = (*PICKLES, ".json")


def read(uri: str) -> list[dict[str, Any]]:
    """Entries of a file, JSON or pickle.

    Raises:
        SourceError: the file is missing, has another form, or holds more than plain data.
    """
    path = uris.fsspec_path(uri)
    with json_stream.opened(path, "source.refs") as file:
        try:
            if path.lower().endswith(PICKLES):
                refs = plain_pickle.loads(file.read(plain_pickle.MAX_BYTES + 1))
            else:
                refs = json.load(file)
        except plain_pickle.PickleRefusedError as error:
            raise SourceError(
                f"{path} is not read: {error}; get the published file again"
            ) from error
    refs = refs.get("refs") if isinstance(refs, dict) else refs
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise SourceError(
            f"{path} is not a list of referring expressions; see repic.sources.expressions"
        )
    return refs


def add(refs: list[dict[str, Any]], objects: Objects, skipped: Counter[str]) -> dict[str, str]:
    """Add referring expressions to the objects that they refer to; the split of each photo.

    Args:
        objects: Changed in place.
        skipped: Counts what is not used, by reason.

    Returns:
        Id of a photo -> the strictest split of its expressions (`strictest`).
    """
    splits: dict[str, str] = {}
    for ref in refs:
        image = coco_fields.key(ref.get("image_id")) or ""
        named = ref.get("split")
        if split := strictest((split_named(named), splits.get(image))):
            splits[image] = split
        if named is not None and split_named(named) is None:
            skipped["referring expressions of an unknown split"] += 1
            continue
        candidates = objects.get(image, {})
        sentences = _sentences(ref)
        targets = list(_targets(ref, candidates))
        if not targets:
            skipped["referring expressions to no object"] += 1
        elif len(targets) > 1:
            skipped["referring expressions to several objects"] += 1
        elif targets[0] not in candidates:
            skipped["referring expressions without an annotation"] += 1
        elif not sentences:
            skipped["referring expressions without a sentence"] += 1
        else:
            annotation = candidates[targets[0]]
            merged = tuple(dict.fromkeys((*annotation.expressions, *sentences)))
            candidates[targets[0]] = replace(annotation, expressions=merged)
    return splits


def _targets(ref: dict[str, Any], candidates: dict[str, Annotation]) -> Iterator[str | None]:
    """Ids of the annotations that a ref is about; None for one that cannot be found."""
    if "ann_id" not in ref:
        yield _nearest(candidates, ref.get("bbox"))
    elif not isinstance(ref["ann_id"], list):
        yield coco_fields.key(ref["ann_id"])
    else:
        yield from (k for k in dict.fromkeys(map(coco_fields.key, ref["ann_id"])) if k != "-1")


def _nearest(candidates: dict[str, Annotation], bbox: Any) -> str | None:
    """Id of the annotation whose box matches, or None."""
    box = coco_fields.box(bbox, None, None)
    if box is None or not candidates:
        return None
    best = max(candidates, key=lambda key: candidates[key].box.iou(box))
    return best if candidates[best].box.iou(box) >= SAME_BOX else None


def _sentences(ref: dict[str, Any]) -> list[str]:
    """Sentences of a ref: texts, or RefCOCO's `{"sent": ..., "raw": ...}`."""
    texts = ref.get("sentences") or ref.get("expressions") or []
    listed = texts if isinstance(texts, list) else [texts]
    raw = (t.get("sent") or t.get("raw") if isinstance(t, dict) else t for t in listed)
    return [sentence for sentence in map(coco_fields.sentence, raw) if sentence]

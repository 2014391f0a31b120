"""Stages `probes` (size and hash of each photo) and `images` (all metadata of each photo)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa

from repic import mining
from repic.config import Settings
from repic.config.sources import kind_of
from repic.errors import SourceError
from repic.images import decode
from repic.images.coordinates import Box, upright
from repic.images.fetch import ImageRefused
from repic.images.uris import Location
from repic.pipeline.scan import Reject, ScannedPhoto
from repic.pipeline.stages.base import (
    Inputs,
    Json,
    Output,
    RowStage,
    ShardOutput,
    TableStage,
    rows_of,
)
from repic.pipeline.stages.prefetch import read_photo
from repic.sources.base import SHARES, Annotation, SourcePhoto

_log = logging.getLogger(__name__)


class ProbeStage(RowStage):
    """Decode each photo completely; store its size, orientation and perceptual hash."""

    name = "probes"
    subject = "image_id"
    version = 1
    reads = ("source",)
    writes = ("probes",)

    def recipe(self, settings: Settings) -> Json:
        return None

    def inputs(self, inputs: Inputs) -> pa.Table:
        photos = inputs.scan.photos
        ids = pa.array([scanned.image_id for scanned in photos], pa.string())
        uris = pa.array([scanned.photo.uri for scanned in photos], pa.string())
        return pa.table({"key": ids, "image_id": ids, "uri": uris})

    def run(self, inputs: pa.Table, settings: Settings) -> ShardOutput:
        with ThreadPoolExecutor(settings.runtime.workers) as pool:
            results = list(
                pool.map(_probe, inputs["image_id"].to_pylist(), inputs["uri"].to_pylist())
            )
        rows = [r for r in results if isinstance(r, dict)]
        rejects = tuple(r for r in results if isinstance(r, Reject))
        return ShardOutput(rows_of("probes", rows), rejects)


def _probe(image_id: str, uri: str) -> dict | Reject:
    try:
        facts = decode.probe(read_photo(uri, image_id), Location.parse(uri).region)
    except ImageRefused as refused:
        return Reject(uri, "images", refused.reason, refused.message, image_id)
    return {"image_id": image_id, **asdict(facts)}


class ImageStage(TableStage):
    """Join the metadata of the source with the probes; group near-duplicates."""

    name = "images"
    version = 3
    reads = ("source", "probes")
    writes = ("images",)

    def recipe(self, settings: Settings) -> Json:
        return {"near_duplicate_bits": settings.mining.near_duplicate_bits}

    def run(self, inputs: Inputs) -> Output:
        """Compute the images table.

        Raises:
            SourceError: no photo is usable. An unmounted disk must not publish an empty version.
        """
        facts = {row["image_id"]: row for row in inputs.tables["probes"].to_pylist()}
        photos = [scanned for scanned in inputs.scan.photos if scanned.image_id in facts]
        if not photos:
            raise SourceError(_no_usable_photo(inputs))
        hashes = np.array([int(facts[s.image_id]["phash"], 16) for s in photos], np.uint64)
        bits = inputs.settings.mining.near_duplicate_bits
        clusters = mining.near_duplicates(hashes, bits)
        first: dict[int, str] = {}
        rows = []
        for scanned, cluster in zip(photos, clusters, strict=True):
            group = first.setdefault(int(cluster), scanned.image_id)
            rows.append(_image_row(scanned, facts[scanned.image_id], group))
        usable = Counter(row["source"] for row in rows)
        notes: dict[str, Json] = {"files": inputs.scan.files}
        if len(inputs.settings.sources) > 1:
            notes["sources"] = {
                source.name: {
                    "found": inputs.scan.found.get(source.name, 0),
                    "usable": usable[source.name],
                }
                for source in inputs.settings.sources
            }
        if misfits := sum(_misfit(s.photo, facts[s.image_id]) for s in photos):
            notes["annotations_of_another_size"] = misfits
            _log.warning(
                "%d photos have boxes that were drawn on photos of another shape, which are "
                "left out; export the annotations for these files again",
                misfits,
            )
        return Output({"images": rows_of("images", rows)}, notes)


def _no_usable_photo(inputs: Inputs) -> str:
    """Error message with the counts of all reasons."""
    ids = {scanned.image_id for scanned in inputs.scan.photos}
    refused = [*inputs.scan.rejects, *(r for r in inputs.rejects if r.image_id in ids)]
    if not refused:
        return "every photo is to be forgotten: give other photos (source.path)"
    counts = Counter(reject.error for reject in refused)
    reasons = ", ".join(f"{count} {error}" for error, count in counts.most_common())
    later = "run again later, or " if counts.keys() & {"rate-limited", "unavailable"} else ""
    forgotten = [
        source.name
        for source in inputs.settings.sources
        if kind_of(source.kind).names_files and not source.images
    ]
    where = ""
    if set(counts) == {"missing"} and forgotten:
        where = f"say where the photos of {', '.join(forgotten)} are (source.images), or "
    return (
        f"none of {inputs.scan.files} photos can be used ({reasons}), as {refused[0].uri}: "
        f"{refused[0].message}; {later}{where}give other photos (source.path)"
    )


def _misfit(photo: SourcePhoto, facts: dict) -> bool:
    return bool(photo.annotations) and _fit(photo, facts) is None


def _fit(photo: SourcePhoto, facts: dict) -> Callable[[Box], Box] | None:
    """Places a box of the source on the upright photo; None if it was drawn on another shape.

    Boxes were drawn on the photo as it is shown or as it is stored, at any scale.
    """
    shown = facts["width"], facts["height"]
    if photo.drawn_on is None or photo.drawn_on == shown:
        return lambda box: box
    width, height = photo.drawn_on
    if photo.drawn_on == SHARES:
        return lambda box: box.scale(*shown)
    turned = facts["orientation"] >= 5
    if _same_shape((width, height), shown):
        scale_x, scale_y = shown[0] / width, shown[1] / height
        return lambda box: box.scale(scale_x, scale_y)
    if turned and _same_shape((height, width), shown):
        scale_x, scale_y = shown[1] / width, shown[0] / height
        orientation = facts["orientation"]
        return lambda box: upright(box.scale(scale_x, scale_y), shown[1], shown[0], orientation)
    return None


def _same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether one is the other at another scale, but for rounding to whole pixels."""
    (width, height), (other_width, other_height) = first, second
    return abs(width * other_height - height * other_width) <= max(*first, *second)


def _image_row(scanned: ScannedPhoto, facts: dict, group: str) -> dict:
    photo = scanned.photo
    fit = _fit(photo, facts)
    return {
        **facts,
        "uri": photo.uri,
        "also_at": list(scanned.also_at),
        "sha256": scanned.sha256,
        "near_duplicate_group": group,
        "source": photo.source,
        "licence": photo.licence,
        "identity": photo.identity,
        "caption": photo.caption,
        "label": photo.label,
        "split": photo.split,
        "annotations": [
            _annotation_row(replace(a, box=fit(a.box)), facts["width"], facts["height"])
            for a in photo.annotations
        ]
        if fit
        else [],
    }


def _annotation_row(annotation: Annotation, width: int, height: int) -> dict:
    box = annotation.box.clip(width, height)
    return {
        "box": box.as_list(),
        "label": annotation.label,
        "identity": annotation.identity,
        "expressions": list(annotation.expressions),
        "truncated": annotation.truncated,
        "occluded": annotation.occluded,
    }

"""FiftyOne: photos with all that is known of their objects, to look at, filter and search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repic.export.coco import NAMELESS, photo_splits
from repic.export.pictures import whole
from repic.export.target import TargetFacts
from repic.export.text_files import write_lists
from repic.images.coordinates import Box

if TYPE_CHECKING:
    from repic.export.job import ExportJob
    from repic.objectives.base import Row

FACTS = TargetFacts(
    program="FiftyOne, to look at photos and boxes, to filter and to search",
    keeps="photos, boxes (exact), labels, confidence, identities, expressions, main objects, "
    "captions, sources, licences, splits (as tags), counts of pairs",
    loses="pairs and examples themselves; the fingerprint of detectors",
    tested="FiftyOne loads every photo and box (`make peers`)",
    use="fiftyone app view --dataset-dir F --type fiftyone.types.LegacyFiftyOneDataset",
    pictures=("copy", "reference"),
    holds="images",
)
_PHOTO = ["image_id", "uri", "width", "height", "source", "licence", "identity", "caption"]
_SHOWN = ["image_id", "source", "licence", "identity", "caption"]
_FACTS = ["object_id", "identity", "expressions", "main", "same_label_count"]
_OBJECT = ["image_id", "x1", "y1", "x2", "y2", "label", "confidence", *_FACTS]


def write(job: ExportJob) -> Mapping[str, Any]:
    """Write `samples.json` in the layout whose fields FiftyOne infers from the samples."""
    write_lists(job.folder / "samples.json", {"samples": _samples(job)})
    return {}


def _samples(job: ExportJob) -> Iterator[dict[str, Any]]:
    splits, objects = photo_splits(job), _ObjectsOfPhotos(job)
    for image in job.source.rows("images", _PHOTO):
        picture = job.picture(image["image_id"], whole(image))
        job.advance()
        if picture is None:
            continue
        split = splits.get(image["image_id"])
        job.count(split or "train", "photos")
        job.counts.photos.add(image["image_id"])
        size = {"width": image["width"], "height": image["height"]}
        yield {
            "filepath": picture.path,
            "tags": [split] if split else [],
            "metadata": {"_cls": "ImageMetadata", **size},
            **{name: image[name] for name in _SHOWN},
            "objects": {
                "_cls": "Detections",
                "detections": [_detection(row, **size) for row in objects.of(image["image_id"])],
            },
        }


def _detection(row: Row, width: int, height: int) -> dict[str, Any]:
    """An object, with its box in shares of the photo: left, top, width, height."""
    box = Box.of_row(row).scale(1 / width, 1 / height)
    return {
        "_cls": "Detection",
        "tags": [],
        "label": row["label"] or NAMELESS,
        "bounding_box": [box.x1, box.y1, box.width, box.height],
        "confidence": row["confidence"],
        **{name: row[name] for name in _FACTS},
        "positives": row["positive"],
        "negatives": row["negative"],
    }


class _ObjectsOfPhotos:
    """The objects of one photo at a time; the table is in the order of objects."""

    def __init__(self, job: ExportJob) -> None:
        rows = job.source.store.read(job.source.table("objects").ref, _OBJECT)
        self._rows = rows.sort_by([("image_id", "ascending"), ("object_id", "ascending")])
        self._photos = np.asarray(self._rows["image_id"].to_pylist(), dtype=str)
        self._pairs = _pair_counts(job)
        self._job = job

    def of(self, image_id: str) -> Iterator[Row]:
        """The objects of a photo, with the numbers of their `positive` and `negative` pairs."""
        start = np.searchsorted(self._photos, image_id)
        stop = np.searchsorted(self._photos, image_id, "right")
        for row in self._rows.slice(start, stop - start).to_pylist():
            self._job.counts.objects.add(row["object_id"])
            yield {**row, **{kind: n.get(row["object_id"], 0) for kind, n in self._pairs.items()}}


def _pair_counts(job: ExportJob) -> dict[str, dict[str, int]]:
    """Number of pairs that can be used of each object, by kind."""
    counts: dict[str, dict[str, int]] = {"positive": {}, "negative": {}}
    if "pairs" not in job.source.tables:
        return counts
    usable = ~pc.field("doubtful")
    columns = ["kind", "anchor_id", "other_id"]
    pairs = job.source.store.read(job.source.table("pairs").ref, columns, usable)
    for kind, of_objects in counts.items():
        chosen = pairs.filter(pc.equal(pairs["kind"], kind))
        sides = pa.chunked_array([*chosen["anchor_id"].chunks, *chosen["other_id"].chunks])
        for entry in sides.value_counts().to_pylist() if len(sides) else ():
            of_objects[entry["values"]] = entry["counts"]
    return counts

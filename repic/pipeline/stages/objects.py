"""Stages `detections` (boxes of the detector) and `objects` (with identities and reviews)."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from repic.config import DetectorSettings, RuntimeSettings, Settings, SourceSettings
from repic.images.coordinates import Box
from repic.images.decode import reduction
from repic.images.fetch import ImageRefused
from repic.models import detectors
from repic.models.detectors import Detection, Detector, Prepared
from repic.models.devices import batched
from repic.pipeline.reviews import settled
from repic.pipeline.scan import Reject
from repic.pipeline.stages import faces, tracks
from repic.pipeline.stages.base import (
    Inputs,
    Json,
    Output,
    RowStage,
    ShardOutput,
    TableStage,
    rows_of,
)
from repic.pipeline.stages.prefetch import Decode, prefetch
from repic.pipeline.stages.reviewed import BoxReviews, object_id
from storage.hashing import fingerprint

SAME_OBJECT_IOU = 0.5
"""Minimum IoU at which a detected box matches an annotated object (PASCAL VOC)."""

ALONE = "object"
"""Origin of the identity of a thing that no other photo shows."""

_model_lock = Lock()


@lru_cache(maxsize=4)
def detector(settings: DetectorSettings, runtime: RuntimeSettings) -> Detector:
    """A detector of this process, loaded once; sources of a build may have different ones."""
    return detectors.load(settings, runtime)


class DetectionStage(RowStage):
    """Detect objects in each photo; a box that its owner drew needs no detector."""

    name = "detections"
    subject = "image_id"
    version = 3
    reads = ("images",)
    writes = ("detections",)

    def recipe(self, settings: Settings) -> Json:
        models = self.models(settings)
        return models if len(models) > 1 else models["detector"]

    def models(self, settings: Settings) -> dict[str, Json]:
        parts = self.parts_of(settings)
        return {
            "detector"
            if len(parts) == 1
            else f"detector of {', '.join(source.name for source in part.sources)}": (
                detectors.describe(part.detector, part.runtime)
            )
            for part in parts
        }

    def parts_of(self, settings: Settings) -> list[Settings]:
        """One part for each detector, with the sources whose photos it sees."""
        sources: dict[DetectorSettings, list[SourceSettings]] = defaultdict(list)
        for source in settings.sources:
            detector = settings.detector_of(source).model_copy(update={"expressions": "none"})
            sources[detector].append(source.model_copy(update={"detector": None}))
        return [
            settings.model_copy(update={"detector": detector, "sources": tuple(own)})
            for detector, own in sources.items()
        ]

    def inputs(self, inputs: Inputs) -> pa.Table:
        sources = {source.name: source for source in inputs.settings.sources}
        photos = inputs.tables["images"].select(
            ["image_id", "uri", "width", "height", "annotations", "source"]
        )
        photos = photos.filter(pc.is_in(photos["source"], pa.array(list(sources), pa.string())))
        is_annotated = inputs.settings.detector.kind == "annotation"
        drawn = [
            annotations if is_annotated or (annotations and sources[name].of_owner) else None
            for annotations, name in zip(
                photos["annotations"].to_pylist(), photos["source"].to_pylist(), strict=True
            )
        ]
        keys = [
            image_id if annotations is None else f"{image_id}-{fingerprint(annotations)}"
            for image_id, annotations in zip(photos["image_id"].to_pylist(), drawn, strict=True)
        ]
        column = pa.array(drawn, photos.schema.field("annotations").type)
        photos = photos.drop_columns(["annotations", "source"]).append_column("annotations", column)
        return photos.add_column(0, "key", pa.array(keys, pa.string()))

    def run(self, inputs: pa.Table, settings: Settings) -> ShardOutput:
        made_by, vocabulary = _fingerprints(settings.detector, settings.runtime)
        drawn_by, _ = _fingerprints(
            settings.detector.model_copy(update={"kind": "annotation"}), settings.runtime
        )
        rows: list[dict] = []
        rejects: list[Reject] = []
        for photo, result in _detections(inputs, settings):
            if isinstance(result, ImageRefused):
                uri, image_id = photo["uri"], photo["image_id"]
                rejects.append(Reject(uri, "objects", result.reason, result.message, image_id))
                continue
            name = made_by if photo["annotations"] is None else drawn_by
            rows += [_row(photo, d, name, vocabulary) for d in _kept(result, photo, settings)]
        return ShardOutput(rows_of("detections", rows), tuple(rejects))


def _fingerprints(settings: DetectorSettings, runtime: RuntimeSettings) -> tuple[str, str]:
    """Of the detector, and of the vocabulary in use: fixed classes ignore that of the settings."""
    recipe = detectors.describe(settings, runtime)
    return fingerprint(recipe), fingerprint(recipe.get("vocabulary", []))


def _detections(
    inputs: pa.Table, settings: Settings
) -> Iterator[tuple[dict, list[Detection] | ImageRefused]]:
    """Yield each photo with its detections, or with the reason why it was refused."""
    photos = inputs.to_pylist()
    yield from ((p, _annotated(p)) for p in photos if p["annotations"] is not None)
    remaining = [photo for photo in photos if photo["annotations"] is None]
    if remaining:
        model = detector(settings.detector, settings.runtime)
        yield from _detected(remaining, model, settings.runtime)


def _detected(
    photos: list[dict], model: Detector, runtime: RuntimeSettings
) -> Iterator[tuple[dict, list[Detection] | ImageRefused]]:
    """Yield photos with what the model finds, and those that are refused, each in their order."""
    shown: deque[dict] = deque()
    refused: list[tuple[dict, ImageRefused]] = []

    def prepare(photo: dict, decode: Decode) -> Prepared:
        return model.prepare(decode(_reduction(photo, model)))

    def usable() -> Iterator[Prepared]:
        for photo, prepared in prefetch(photos, prepare, pool, runtime):
            if isinstance(prepared, ImageRefused):
                refused.append((photo, prepared))
            else:
                shown.append(photo)
                yield prepared

    with ThreadPoolExecutor(runtime.workers) as pool:
        results = model.detect_prepared(batched(usable(), runtime.batch_size), pool)
        while True:
            with _model_lock:
                batch = next(results, None)
            if batch is None:
                break
            for found in batch:
                photo = shown.popleft()
                yield photo, [_in_photo(detection, photo, model) for detection in found]
    yield from refused


def _reduction(photo: dict, model: Detector) -> int:
    return reduction(max(photo["width"], photo["height"]), model.side)


def _in_photo(detection: Detection, photo: dict, model: Detector) -> Detection:
    """A detection in pixels of the photo instead of those of the reduced picture."""
    factor = _reduction(photo, model)
    if factor == 1:
        return detection
    box = detection.box.scale(factor, factor).round(2)
    return replace(detection, box=box.clip(photo["width"], photo["height"]))


def _annotated(photo: dict) -> list[Detection]:
    return [
        Detection(
            box=Box.of(a["box"]).round(2),
            label=a["label"],
            confidence=1.0,
            identity=a["identity"],
            expressions=tuple(a["expressions"]),
            truncated=a["truncated"],
            occluded=a["occluded"],
        )
        for a in photo["annotations"]
    ]


def _kept(detections: list[Detection], photo: dict, settings: Settings) -> list[Detection]:
    """Distinct boxes of at least the minimum size, most confident first."""
    smallest = settings.detector.min_area_share * photo["width"] * photo["height"]
    distinct = {(d.box, d.label): d for d in detections if d.box.area > smallest}
    kept = sorted(distinct.values(), key=lambda d: (-d.confidence, d.box.as_list(), d.label))
    return kept[: settings.detector.max_objects]


def _row(photo: dict, detection: Detection, made_by: str, vocabulary: str) -> dict:
    box = detection.box
    return {
        "object_id": object_id(photo["image_id"], box, detection.label),
        "image_id": photo["image_id"],
        "x1": box.x1,
        "y1": box.y1,
        "x2": box.x2,
        "y2": box.y2,
        "label": detection.label,
        "confidence": detection.confidence,
        "detector": made_by,
        "vocabulary": vocabulary,
        "truncated": detection.truncated,
        "occluded": detection.occluded,
        "expressions": list(detection.expressions),
        "nouns": [noun._asdict() for noun in detection.nouns],
        "identity": detection.identity,
    }


class ObjectStage(TableStage):
    """Boxes as reviewers say; identities, labels counted per photo, and the main object."""

    name = "objects"
    version = 5
    reads = ("images", "detections", "reviews")
    writes = ("objects",)

    def recipe(self, settings: Settings) -> Json:
        rules = {source.name: _rules(settings, source) for source in settings.sources}
        first = next(iter(rules.values()))
        return first if all(rule == first for rule in rules.values()) else rules

    def run(self, inputs: Inputs) -> Output:
        reviews = BoxReviews.of(inputs.tables["reviews"])
        photos = inputs.tables["images"].to_pylist()
        boxes_of, applied = _reviewed(photos, inputs, reviews)
        rules = {s.name: _rules(inputs.settings, s) for s in inputs.settings.sources}
        rows = []
        annotated, lost = 0, 0
        for photo in tracks.followed(photos, boxes_of):
            boxes = boxes_of[photo["image_id"]]
            rule = rules[photo["source"]]
            if "expressions" in rule:
                boxes = _with_expressions(boxes, photo["annotations"])
            found = _objects_of(photo, boxes, rule["identity"])
            applied["named"] += reviews.named(photo, found)
            rows += found
            if rule["identity"] == "annotation":
                names = {a["identity"] for a in photo["annotations"] if a["identity"]}
                annotated += len(names)
                lost += len(names - {row["identity"] for row in found})
        notes: dict[str, Json] = {
            "photos_without_objects": sum(not boxes for boxes in boxes_of.values())
        }
        if lost:
            notes["identities_without_box"] = {"lost": lost, "annotated": annotated}
        if any(applied.values()):
            notes["reviews"] = {what: count for what, count in sorted(applied.items()) if count}
        return Output({"objects": rows_of("objects", rows)}, notes)


def _reviewed(
    photos: Iterable[dict], inputs: Inputs, reviews: BoxReviews
) -> tuple[dict[str, list[dict]], Counter[str]]:
    """Boxes by photo after the decisions on them, and how many decisions were applied."""
    decided = settled(inputs.tables["reviews"], "object").to_pylist()
    rejected = {row["subject_id"] for row in decided if row["decision"] == "reject"}
    boxes_of: dict[str, list[dict]] = defaultdict(list)
    applied = Counter({"disputed": reviews.disputed})
    for box in inputs.tables["detections"].to_pylist():
        if box["object_id"] in rejected:
            applied["deleted"] += 1
        else:
            boxes_of[box["image_id"]].append(box)
    for photo in photos:
        found = boxes_of[photo["image_id"]]
        boxes_of[photo["image_id"]], counts = reviews.boxes_of(photo, found)
        applied += counts
    return boxes_of, applied


def _rules(settings: Settings, source: SourceSettings) -> dict[str, str]:
    """How objects of a source get identities and expressions."""
    rules = {"identity": source.identity_from}
    if settings.detector_of(source).expressions == "annotation":
        rules["expressions"] = "annotation"
    return rules


def _objects_of(photo: dict, boxes: list[dict], identity: str) -> list[dict]:
    """Object rows of one photo.

    Args:
        identity: Source of identities. "folder" assigns the photo's identity to its main object,
            the one with the largest confidence x area, unless the owner says it of each box, and
            so do "album" and "shot" (see `tracks`); "annotation" assigns each box the identity of
            the annotated object that it matches, or else of the face in it (see `faces`); "object"
            assigns each box its own, since no other photo shows the thing.
    """
    if not boxes:
        return []
    labels = Counter(box["label"] for box in boxes)
    main = tracks.main_box(boxes)
    by_face = faces.names(boxes, photo["annotations"]) if identity == "annotation" else {}
    rows = []
    for box in boxes:
        name, origin = None, None
        if identity == "annotation":
            name = box["identity"] or _identity_by_overlap(Box.of_row(box), photo["annotations"])
            name = name or by_face.get(box["object_id"])
            origin = "annotation" if name else None
        elif identity == ALONE:
            name, origin = box["object_id"], ALONE
        elif identity in ("folder", "album", tracks.SHOT):
            name = box["identity"] or (photo["identity"] if box is main else None)
            origin = ("annotation" if box["identity"] else identity) if name else None
        rows.append(
            {
                **box,
                "area_share": Box.of_row(box).area / (photo["width"] * photo["height"]),
                "same_label_count": labels[box["label"]],
                "main": box is main,
                "identity": name,
                "identity_origin": origin,
            }
        )
    return rows


def _with_expressions(boxes: list[dict], annotations: list[dict]) -> list[dict]:
    """Boxes with the referring expressions of the annotated objects that they match.

    An expression refers to one object, so only the best matching box of an annotated object gets
    it. Boxes that already have expressions keep them.
    """
    best: dict[int, tuple[float, str]] = {}
    for box in boxes:
        overlaps = [(Box.of_row(box).iou(Box.of(a["box"])), -n) for n, a in enumerate(annotations)]
        overlap, negative_index = max(overlaps, default=(0.0, 0))
        if overlap >= SAME_OBJECT_IOU:
            index = -negative_index
            best[index] = max(best.get(index, (0.0, "")), (overlap, box["object_id"]))
    expressions = {object_id: annotations[n]["expressions"] for n, (_, object_id) in best.items()}
    return [
        {**box, "expressions": box["expressions"] or expressions.get(box["object_id"], [])}
        for box in boxes
    ]


def _identity_by_overlap(box: Box, annotations: list[dict]) -> str | None:
    overlaps = [(box.iou(Box.of(a["box"])), a["identity"] or "") for a in annotations]
    best, identity = max(overlaps, default=(0.0, ""))
    return identity or None if best >= SAME_OBJECT_IOU else None

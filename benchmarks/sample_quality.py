"""Quality of the shipped sample models, and of a build with them, against the ground truth.

    python benchmarks/sample_quality.py              # exit status 1 if a target below is missed
    python benchmarks/sample_quality.py --only holdout --json

Three parts:

- `holdout`: the two models on identities, backgrounds and photos that neither training nor tuning
  uses, see `tools.sample_models.holdout`;
- `mining`: mining on such identities, with detected crops and hidden labels, at 2, 5 and 20 photos
  of each;
- `build`: every stage of a build of the `sample` profile against the ground truth, once as it is
  and once with hidden identities, which mining then has to find. Its photos are new to the models,
  its identities are not.

A detected box counts as an object from an IoU of 0.5. A text is ambiguous if it matches more than
one object of its photo, or not the object of its box.
"""

from __future__ import annotations

import argparse
import json
import math
import operator
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import mining_quality
import numpy as np
from PIL import Image

from repic import config, mining
from repic.config import Settings
from repic.images.coordinates import Box
from repic.images.perceptual_hash import perceptual_hash
from repic.models import detectors
from repic.models import encoder as embed
from repic.objectives import vlt
from repic.pipeline.execution import build
from repic.pipeline.scan import scan
from repic.sample import composition
from repic.sample.backgrounds import PLACES
from repic.sample.identities import RESERVED
from repic.sample.world import WorldPhoto
from repic.sources import Annotation, sample
from storage.store import Store
from tools.sample_models import holdout

TARGETS = {
    "holdout: map50": (">=", 0.85),
    "holdout: nearest": (">=", 0.85),
    "holdout: caption": (">=", 0.70),
    "holdout: crop": (">=", 0.70),
    **{
        f"mining at {views}: {name}": target
        for views in (2, 5, 20)
        for name, target in {
            "precision": (">=", 0.98),
            "recall": (">=", 0.75),
            "hard per photo": (">=", 2.0),
            "hard false": ("<=", 0.01),
            "hard percentile": (">=", 91.0),
        }.items()
    },
    "build: vlt unambiguous": (">=", 0.99),
    "build, labels hidden: vlt unambiguous": (">=", 0.99),
}
COMPARE = {">=": operator.ge, "<=": operator.le}
VIEWS, MINED = (2, 5, 20), 150
"""Photos per identity, and number of identities, for mining."""
SAME = holdout.SAME

Row = Mapping[str, Any]


def holdout_scores(settings: Settings) -> dict[str, float]:
    """Held-out scores of the models, on unseen backgrounds and on those of builds."""
    least = settings.detector.confidence
    unsure = settings.detector.model_copy(update={"confidence": 0.001, "max_objects": 100})
    detector = detectors.load(unsure, settings.runtime)
    encoder = embed.load(settings.encoder, settings.runtime)
    gallery = holdout.gallery()
    result: dict[str, float] = {}
    for name, places in (
        ("holdout", tuple(holdout.HARD_PLACES)),
        ("holdout, known places", tuple(PLACES)),
    ):
        scores = holdout.measure(holdout.photos(gallery, places), detector, encoder, least)
        result |= {f"{name}: {key}": value for key, value in asdict(scores).items()}
    return result


def mined(settings: Settings, views: int) -> dict[str, float]:
    """Mining with labels hidden, over detected crops of identities in no build."""
    chosen = composition.choose(MINED, lambda _: "mining", holdout.WORLD, RESERVED)
    taken = holdout.photos(chosen, tuple(PLACES), views)
    detector = detectors.load(settings.detector, settings.runtime)
    encoder = embed.load(settings.encoder, settings.runtime)
    detections = detector.detect([photo.image for photo in taken])
    crops: list[Image.Image] = []
    photo_of: list[int] = []
    subject: list[int] = []
    for k, (photo, boxes) in enumerate(zip(taken, detections, strict=True)):
        for detection in boxes:
            best = max(photo.objects, key=lambda o: detection.box.iou(o.box))
            matches = detection.box.iou(best.box) >= SAME
            crops.append(holdout.cut(photo.image, detection.box))
            photo_of.append(k)
            subject.append(chosen.index(best.identity) if matches else MINED + len(subject))
    vectors = encoder.encode_images(crops).astype(np.float16)
    these = Detected(
        vectors, _near_duplicates(taken)[photo_of], np.array(subject), np.array(photo_of)
    )
    judged = mining_quality.judge(these, settings.mining)
    return {f"mining at {views}: {name}": value for name, value in judged.items()}


@dataclass(frozen=True)
class Detected(mining_quality.Collection):
    """A collection with several objects in a photo; `photo` is int (n,)."""

    photo: np.ndarray

    def analyze(self, identity: np.ndarray) -> mining.Analysis:
        return mining.analyze(self.vectors, self.photo, self.duplicate, identity)


def _near_duplicates(taken: Sequence[WorldPhoto]) -> np.ndarray:
    hashes = [int(perceptual_hash(photo.image), 16) for photo in taken]
    bits = config.MiningSettings().near_duplicate_bits
    return mining.near_duplicates(np.array(hashes, np.uint64), bits)


def built(settings: Settings) -> dict[str, float]:
    """A build in a temporary store, stage by stage."""
    annotated = settings.sources[0].model_copy(update={"identity": "annotation"})
    truth = {photo.uri: photo.annotations for photo in sample.photos(annotated, settings.splits)}
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(folder, create=True)
        build(settings, store, scan(settings))
        names = ("images", "objects", "groups", "pairs", "examples")
        tables = {name: store.read(f"{name}@latest").to_pylist() for name in names}
    photos = {row["image_id"]: truth[row["uri"]] for row in tables["images"]}
    shown = {row["object_id"]: _shown(row, photos[row["image_id"]]) for row in tables["objects"]}
    return {
        **_boxes(tables["objects"], photos, shown),
        **_pairs(tables["pairs"], tables["groups"], shown),
        **_examples(tables["examples"], photos, shown),
    }


def _shown(row: Row, annotations: Sequence[Annotation]) -> tuple[float, Annotation | None]:
    """The object of a box, if any, and their overlap."""
    box = Box(row["x1"], row["y1"], row["x2"], row["y2"])
    best = max(annotations, key=lambda a: box.iou(a.box))
    overlap = box.iou(best.box)
    return overlap, best if overlap >= SAME else None


Shown = Mapping[str, tuple[float, Annotation | None]]


def _boxes(
    objects: Iterable[Row], photos: Mapping[str, Sequence[Annotation]], shown: Shown
) -> dict[str, float]:
    rows = list(objects)
    right = [(row, *shown[row["object_id"]]) for row in rows]
    hits = [(row, overlap, one) for row, overlap, one in right if one is not None]
    matched = {(row["image_id"], id(one)) for row, _, one in hits}
    return {
        "photos": len(photos),
        "boxes": len(rows),
        "box recall": len(matched) / sum(len(annotations) for annotations in photos.values()),
        "box IoU": _mean(overlap for _, overlap, _ in hits),
        "boxes of nothing": 1 - len(hits) / max(1, len(rows)),
        "boxes twice": 1 - len(matched) / max(1, len(hits)),
        "label accuracy": _mean(row["label"] == one.label for row, _, one in hits),
        "identity labels wrong": _mean(
            one is None or row["identity"] != one.identity
            for row, _, one in right
            if row["identity"]
        ),
    }


def _pairs(pairs: Iterable[Row], groups: Iterable[Row], shown: Shown) -> dict[str, float]:
    rows = [row for row in pairs if not row["doubtful"]]
    same = {
        row["pair_id"]: _same(shown[row["anchor_id"]][1], shown[row["other_id"]][1]) for row in rows
    }
    positives = [row for row in rows if row["kind"] == "positive"]
    result = {
        "positives": len(positives),
        "positive precision": _mean(same[row["pair_id"]] for row in positives),
        "positive recall": _recall(groups, shown),
    }
    for band in mining.BANDS:
        inside = [r for r in rows if r["kind"] == "negative" and r["band"] == band]
        result[f"negatives, {band}"] = len(inside)
        result[f"false negatives, {band}"] = _mean(same[row["pair_id"]] for row in inside)
    return result


def _recall(groups: Iterable[Row], shown: Shown) -> float:
    """Share of pairs of one identity in two photos that mining put into one group."""
    members: dict[str, list[tuple[str, str]]] = {}
    for row in groups:
        one = shown[row["object_id"]][1]
        if one is not None and one.identity:
            members.setdefault(one.identity, []).append((row["image_id"], row["group"]))
    together = [
        mine_ == other
        for views in members.values()
        for i, (photo, mine_) in enumerate(views)
        for another, other in views[i + 1 :]
        if photo != another
    ]
    return _mean(together)


def _examples(
    examples: Iterable[Row], photos: Mapping[str, Sequence[Annotation]], shown: Shown
) -> dict[str, float]:
    rows = list(examples)
    oct_wrong: list[bool] = []
    said_present: list[bool] = []
    said_absent: list[bool] = []
    pointing: list[tuple[bool, bool]] = []
    for row in rows:
        annotations = photos[row["images"][-1]["image_id"]]
        there = {a.identity for a in annotations}
        if row["objective"] == "vlt":
            pointing.append(_points_to_one(row, annotations))
            continue
        for reference in row["references"]:
            one = shown[reference["object_id"]][1]
            wrong = (one is not None and one.identity in there) != reference["present"]
            if row["objective"] == "oct":
                oct_wrong.append(wrong)
            else:
                (said_present if reference["present"] else said_absent).append(wrong)
    return {
        **{
            f"{name} examples": sum(r["objective"] == name for r in rows)
            for name in ("oct", "vlt", "ict")
        },
        "oct answers wrong": _mean(oct_wrong),
        "ict wrongly present": _mean(said_present),
        "ict wrongly absent": _mean(said_absent),
        "ict references wrongly absent": sum(said_absent),
        "ict references said to be absent": len(said_absent),
        "vlt unambiguous": _mean(one for one, _ in pointing),
        "vlt box right": _mean(right for _, right in pointing),
    }


def _points_to_one(row: Row, annotations: Sequence[Annotation]) -> tuple[bool, bool]:
    """Whether the text matches exactly one object, and whether the box is of that object."""
    text = next(block["text"] for block in row["prompt"] if block["type"] == "text")
    (template,) = (t.text for t in vlt.TEMPLATES if t.id == row["template_id"])
    template = template.replace("{is}", "is").replace("{its}", "its")
    before, after = template.split("{what}")
    what = re.fullmatch(re.escape(before) + "(.+)" + re.escape(after), text)
    phrase = what[1] if what else ""
    fits = [a for a in annotations if phrase in (*a.expressions, f"the {a.label}")]
    one = len(fits) == 1
    return one, one and Box.of(row["box"]).iou(fits[0].box) >= SAME


def _same(one: Annotation | None, other: Annotation | None) -> bool:
    return one is not None and other is not None and one.identity == other.identity


def _mean(values: Iterable[float]) -> float:
    """The mean; nan if empty."""
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", action="append", default=[], help="section.key=value, as in build")
    parser.add_argument("--only", choices=("holdout", "mining", "build"), help="run one part only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    settings = config.load("sample", tuple(options.set))
    result: dict[str, float] = {}
    if options.only in (None, "holdout"):
        result |= holdout_scores(settings)
    for views in VIEWS if options.only in (None, "mining") else ():
        result |= mined(settings, views)
    if options.only in (None, "build"):
        [source] = settings.sources
        hidden = source.model_copy(update={"identity": "none"})
        for name, chosen in (("build", source), ("build, labels hidden", hidden)):
            scores = built(settings.model_copy(update={"sources": (chosen,)}))
            result |= {f"{name}: {key}": value for key, value in scores.items()}
    missed = [
        name
        for name, (sign, target) in TARGETS.items()
        if name in result and not COMPARE[sign](result[name], target)
    ]
    if options.json:
        numbers = {name: None if math.isnan(value) else value for name, value in result.items()}
        print(json.dumps({"result": numbers, "missed": missed}, indent=2))
        return bool(missed)
    for name, value in result.items():
        sign, target = TARGETS.get(name, ("", ""))
        verdict = f"target {sign} {target}  {'MISSED' if name in missed else 'ok'}" if sign else ""
        print(f"{name:42} {value:9.4g}  {verdict}".rstrip())
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())

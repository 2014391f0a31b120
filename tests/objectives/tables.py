"""Small tables of photos, objects and pairs for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from repic.config import ExampleSettings
from repic.objectives import Corpus, ExampleInputs, ObjectiveSummary, build
from repic.objectives.neighborhood import Neighborhood, Object, read
from repic.tables import build as tables
from storage.hashing import fingerprint

IDENTITIES = 12
VIEWS = 4
LABELS = ("dog", "cat", "mug", "car")


def image_row(key: str, **changes: Any) -> dict[str, Any]:
    """A row of the images table; its id is a hash of the key."""
    return {
        "image_id": fingerprint(["image", key]),
        "uri": f"file:///photos/{key}.jpg",
        "also_at": [],
        "sha256": "0" * 64,
        "width": 640,
        "height": 480,
        "format": "JPEG",
        "orientation": 1,
        "phash": "0" * 16,
        "near_duplicate_group": fingerprint(["image", key]),
        "source": "folder",
        "licence": None,
        "identity": None,
        "caption": None,
        "label": None,
        "split": None,
        "annotations": [],
        **changes,
    }


def object_row(key: str, photo: str, **changes: Any) -> dict[str, Any]:
    """A row of the objects table, in the photo of that key."""
    return {
        "object_id": fingerprint(["object", key]),
        "image_id": fingerprint(["image", photo]),
        "x1": 100.0,
        "y1": 100.0,
        "x2": 300.0,
        "y2": 300.0,
        "label": "dog",
        "confidence": 0.9,
        "detector": "d",
        "vocabulary": "v",
        "area_share": 40_000 / 307_200,
        "same_label_count": 1,
        "main": True,
        "truncated": None,
        "occluded": None,
        "expressions": [],
        "nouns": [],
        "identity": None,
        "identity_origin": None,
        **changes,
    }


def pair_row(
    anchor: dict[str, Any], other: dict[str, Any], kind: str, **changes: Any
) -> dict[str, Any]:
    """A row of the pairs table between two rows of the objects table."""
    return {
        "pair_id": fingerprint(["pair", anchor["object_id"], other["object_id"]]),
        "kind": kind,
        "origin": "label",
        "band": "medium",
        "anchor_id": anchor["object_id"],
        "other_id": other["object_id"],
        "anchor_image_id": anchor["image_id"],
        "other_image_id": other["image_id"],
        "similarity": 0.8 if kind == "positive" else 0.6,
        "percentile": 95.0,
        "margin": 0.1,
        "same_label": anchor["label"] == other["label"],
        "split": "train",
        "doubtful": False,
        "review": None,
        **changes,
    }


def labels_of(objects: Iterable[dict[str, Any]]) -> dict[str, str | None]:
    """The labels of a detector that gives one only where it is sure; none is empty."""
    return {row["object_id"]: row["label"] or None for row in objects}


class Build:
    """Tables of one build."""

    def __init__(
        self, images: Iterable[dict], objects: Iterable[dict], pairs: Iterable[dict]
    ) -> None:
        self.images = tables.IMAGES.table(list(images))
        self.objects = tables.OBJECTS.table(list(objects))
        self.pairs = tables.PAIRS.table(list(pairs))
        self.splits: dict[str, str | None] = dict.fromkeys(
            self.images["image_id"].to_pylist(), "train"
        )

    @property
    def labels(self) -> dict[str, str | None]:
        """object_id -> label, as texts may use it."""
        return labels_of(self.objects.to_pylist())

    @property
    def tables(
        self,
    ) -> tuple[pa.Table, pa.Table, dict[str, str | None], pa.Table, dict[str, str | None]]:
        """The arguments of `repic.objectives.build`, except the settings."""
        return self.images, self.objects, self.labels, self.pairs, self.splits

    @property
    def corpus(self) -> Corpus:
        """The corpus of these tables."""
        labels, splits = self.labels, self.splits
        return Corpus.of(
            self.images,
            self.objects,
            pa.table({"object_id": [*labels], "label": pa.array(labels.values(), pa.string())}),
            self.pairs,
            pa.table({"image_id": [*splits], "split": pa.array(splits.values(), pa.string())}),
        )

    def examples(
        self, objective: str, settings: ExampleSettings
    ) -> tuple[list[dict[str, Any]], ObjectiveSummary]:
        """The rows of one objective, and its summary."""
        rows, summaries = build(*self.tables, settings)
        summary = next(one for one in summaries if one.objective == objective)
        return [row for row in rows if row["objective"] == objective], summary


def the_neighborhood(build: Build, **changes: Any) -> Neighborhood:
    """The first photo of a build, with what is around it."""
    inputs = ExampleInputs.of(build.corpus, ExampleSettings(**changes))
    return next(iter(read(inputs.take(np.array([0])))))


def the_object(build: Build) -> Object:
    """The first object of the first photo."""
    return the_neighborhood(build).own[0]


def labelled_build(identities: int = IDENTITIES, views: int = VIEWS) -> Build:
    """Identities in several photos each; photo v of identity i also shows identity i + 1.

    Photos and positives of an identity run in a ring, with one negative of each band per anchor.
    Identities 4n to 4n+3 share photos only among themselves, so that splits could be kept apart.
    """
    images, objects, pairs = [], [], []
    first_objects: dict[tuple[int, int], dict[str, Any]] = {}
    for i in range(identities):
        beside = i - i % 4 + (i + 1) % 4
        for view in range(views):
            key = f"{i}-{view}"
            label, other = LABELS[i % 4], LABELS[beside % 4]
            caption = f"A {label} and the {other} are in a room."
            images.append(image_row(key, caption=caption))
            first_objects[i, view] = object_row(f"{key}-a", key, identity=f"id{i}", label=label)
            objects.append(first_objects[i, view])
            objects.append(
                object_row(f"{key}-b", key, identity=f"id{beside}", label=other, x1=400.0, x2=600.0)
            )
    for (i, view), anchor in first_objects.items():
        pairs.append(pair_row(anchor, first_objects[i, (view + 1) % views], "positive"))
        for step, band in ((2, "hard"), (4, "medium"), (6, "easy")):
            other = first_objects[(i + step) % identities, view]
            pairs.append(pair_row(anchor, other, "negative", band=band, similarity=0.8 - step / 10))
    for i in range(identities):
        beside = i - i % 4 + (i + 1) % 4
        for view in range(views):
            second = objects[2 * (i * views + view) + 1]
            anchor = first_objects[beside, (view + 2) % views]
            if anchor["image_id"] != second["image_id"]:
                pairs.append(pair_row(anchor, second, "positive", band="easy", similarity=0.9))
    return Build(images, objects, pairs)

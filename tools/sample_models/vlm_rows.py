"""Rows of the examples table for a photo set, built by `repic.objectives`.

The input tables come from the ground truth: all objects with their identities, at most two
positives per object, and negatives by the number of attributes that differ (one is hard). Objects
have referring expressions in sets of even number; in the others only a label, as from a detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from repic import objectives
from repic.config import ExampleSettings
from repic.objectives import Row
from repic.sample.identities import IDENTITIES, RESERVED, Identity
from repic.sample.seeds import generator
from tools.sample_models.training_data import SIDE
from tools.sample_models.vlm_photos import PhotoSet

POSITIVES, HARD, MEDIUM, EASY = 2, 2, 1, 1
"""Maximum pairs per object."""
_BY_NAME = {i.name: i for i in (*IDENTITIES, *RESERVED)}
_KEYS = 1 << 20
TRAINING = ExampleSettings.model_validate(
    {
        "oct": {"band_shares": {"hard": 0.65, "medium": 0.2, "easy": 0.15}},
        "vlt": {"max_per_photo": 4},
        "ict": {"same_photo_share": 0.15},
    }
)
HOLDOUT = ExampleSettings.model_validate({"oct": {"band_shares": {"hard": 1.0}}})
"""All OCT negatives are hard; there are as many positives."""


def rows(
    photo_set: PhotoSet, number: int, settings: ExampleSettings, split: str = "train"
) -> list[Row]:
    """All rows of a photo set; `image_id` and the crop identify the pixels.

    Args:
        number: Index of the photo set; part of every id. Odd sets look like detections.
        split: Split of all rows.
    """
    images, objects, identities = [], [], []
    detected = number % 2 == 1
    for p, photo in enumerate(photo_set.photos):
        photo_objects = photo["objects"]
        labels = [_BY_NAME[o["identity"]].category for o in photo_objects]
        images.append(
            {
                "image_id": image_id(number, p),
                "uri": f"sample:{number}/{p}",
                "width": SIDE,
                "height": SIDE,
                "near_duplicate_group": image_id(number, p),
                "source": "sample",
                "identity": None,
                "caption": photo["caption"],
                "annotations": [
                    {"box": o["box"], "label": label, "expressions": o["expressions"]}
                    for o, label in zip(photo_objects, labels, strict=True)
                ],
            }
        )
        for i, (o, label) in enumerate(zip(photo_objects, labels, strict=True)):
            x1, y1, x2, y2 = o["box"]
            identities.append(_BY_NAME[o["identity"]])
            objects.append(
                {
                    "object_id": f"{number * _KEYS + p:012x}{i:04x}",
                    "image_id": image_id(number, p),
                    "x1": x1,
                    "y1": y1,
                    "x2": x2,
                    "y2": y2,
                    "label": label,
                    "area_share": (x2 - x1) * (y2 - y1) / SIDE**2,
                    "same_label_count": labels.count(label),
                    "truncated": None if detected else o["truncated"],
                    "occluded": None if detected else o["occluded"],
                    "expressions": [] if detected else o["expressions"],
                    "identity": o["identity"],
                    "identity_origin": "annotation",
                }
            )
    pairs = _pairs(objects, identities, split, generator("vlm pairs", number, settings.seed))
    examples, _ = objectives.build(
        pa.Table.from_pylist(images),
        pa.Table.from_pylist(objects, schema=_OBJECTS),
        {row["object_id"]: row["label"] for row in objects},
        pa.Table.from_pylist(pairs),
        {image["image_id"]: split for image in images},
        settings,
    )
    return examples


def image_id(number: int, photo: int) -> str:
    """Id of a photo of a photo set."""
    return f"{number * _KEYS + photo:016x}"


def photo_of(image_id: str) -> tuple[int, int]:
    """Indexes of the photo set and of the photo in it; inverse of `image_id`."""
    return divmod(int(image_id, 16), _KEYS)


_OBJECTS = pa.schema(
    [
        *((name, pa.string()) for name in ("object_id", "image_id", "label")),
        *((name, pa.string()) for name in ("identity", "identity_origin")),
        *((name, pa.float32()) for name in ("x1", "y1", "x2", "y2", "area_share")),
        ("same_label_count", pa.int32()),
        *((name, pa.bool_()) for name in ("truncated", "occluded")),
        ("expressions", pa.list_(pa.string())),
    ]
)


def _pairs(
    objects: Sequence[Row], identities: Sequence[Identity], split: str, rng: np.random.Generator
) -> list[dict[str, Any]]:
    members: dict[Identity, list[int]] = {}
    for k, identity in enumerate(identities):
        members.setdefault(identity, []).append(k)
    cast = list(members)
    difference_counts = np.array([[one.differences(other) for other in cast] for one in cast])
    same_kind = np.array([[one.category == other.category for other in cast] for one in cast])
    index_of = {identity: c for c, identity in enumerate(cast)}
    pairs = []
    for k, identity in enumerate(identities):
        index = index_of[identity]
        other_views = [
            m for m in members[identity] if objects[m]["image_id"] != objects[k]["image_id"]
        ]
        chosen = [
            ("positive", "hard", other_views[j])
            for j in rng.permutation(len(other_views))[:POSITIVES]
        ]
        hard = np.flatnonzero(difference_counts[index] == 1)
        medium = np.flatnonzero(
            (difference_counts[index] == 2) | same_kind[index] & (difference_counts[index] > 1)
        )
        easy = np.flatnonzero(difference_counts[index] > 2)
        for band, count, candidates in (
            ("hard", HARD, hard),
            ("medium", MEDIUM, medium),
            ("easy", EASY, easy),
        ):
            for j in rng.permutation(len(candidates))[:count]:
                views = members[cast[candidates[j]]]
                chosen.append(("negative", band, views[int(rng.integers(len(views)))]))
        for kind, band, other in chosen:
            differences = identity.differences(identities[other])
            pairs.append(
                {
                    "pair_id": f"{k:08x}{other:08x}",
                    "kind": kind,
                    "band": band,
                    "anchor_id": objects[k]["object_id"],
                    "other_id": objects[other]["object_id"],
                    "similarity": 1 - differences / 4,
                    "split": split,
                    "doubtful": False,
                    "review": None,
                }
            )
    return pairs

"""Labelled photo sets for the vision-language model, cached on disk.

Training sets use only identities that are in the training split of a default build and not kept
for tuning. `tuning_photos` uses the validation split, `holdout_photos` the `RESERVED` identities.
Each set has its own world seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from repic.config import SplitSettings
from repic.mining.splits import split_of
from repic.sample import composition
from repic.sample.identities import IDENTITIES, RESERVED, Identity
from repic.sample.world import World, WorldPhoto
from tools.sample_models.training_data import FIRST_WORLD, LEARNED, SIDE

PHOTOS, CAST = 400, 80
"""Photos per set, and identities in them, half of which have a look-alike."""
STRIDE = 2
"""Pixels from one entry of `PhotoSet.owners` to the next."""
_FIRST, _TUNING, _LAST = FIRST_WORLD + 10_000, FIRST_WORLD + 9_000, 2_100_000

TRAINED = tuple(i for i in LEARNED if split_of(i.name, SplitSettings()) == "train")
"""Identities of the training sets."""
_SPLIT = {i: split_of(i.name, SplitSettings()) for i in IDENTITIES}
TUNED = tuple(i for i in IDENTITIES if _SPLIT[i] == "validation")
"""Identities of the tuning sets."""


@dataclass(frozen=True)
class PhotoSet:
    """n photos of `SIDE` pixels.

    Attributes:
        pixels: uint8 (n, SIDE, SIDE, 3).
        owners: int8 (n, SIDE / STRIDE, SIDE / STRIDE), index of the object at a pixel, -1 for
            the background.
        photos: Per photo its `caption` and `objects`: dicts of `identity`, `box`, `expressions`,
            `truncated`, `occluded` and `shows_accessory`.
    """

    pixels: np.ndarray
    owners: np.ndarray
    photos: list[dict[str, Any]]


def training_sets(folder: Path, count: int, workers: int = 1) -> list[PhotoSet]:
    """The first `count` training sets; sets missing in `folder` are created."""
    missing = [k for k in range(count) if not (folder / f"{k:03d}.json").exists()]
    if missing and workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_create_training_set, [folder] * len(missing), missing))
    else:
        for k in missing:
            _create_training_set(folder, k)
    return [_load(folder / f"{k:03d}.json") for k in range(count)]


def tuning_photos(folder: Path, number: int = 0) -> PhotoSet:
    """A set of validation identities, for choosing settings."""
    return _load_or_create(folder, f"tuning-{number}", TUNED, _TUNING + number)


def holdout_photos(folder: Path, number: int = 0) -> PhotoSet:
    """A set of `RESERVED` identities, for the held-out measurement."""
    return _load_or_create(folder, f"last-{number}", RESERVED, _LAST + number)


def _create_training_set(folder: Path, number: int) -> None:
    _load_or_create(folder, f"{number:03d}", TRAINED, _FIRST + number)


def _load_or_create(folder: Path, name: str, identities: Sequence[Identity], seed: int) -> PhotoSet:
    path = folder / f"{name}.json"
    if not path.exists():
        _save(path, _world_photos(identities, seed))
    return _load(path)


def _world_photos(identities: Sequence[Identity], seed: int) -> Iterator[WorldPhoto]:
    # "lessons" is part of the seed of the shipped weights.
    world = World(SIDE, seed)
    cast = composition.choose(CAST, lambda _: "lessons", seed, identities)
    plans = composition.plans(cast, lambda _: "lessons", seed)
    return (world.take(plan) for plan in islice(plans, PHOTOS))


def _save(path: Path, photos: Iterator[WorldPhoto]) -> None:
    pixels, owners, records = [], [], []
    for photo in photos:
        pixels.append(np.asarray(photo.image))
        owner = np.full((SIDE // STRIDE, SIDE // STRIDE), -1, np.int8)
        for i, item in enumerate(photo.objects):
            owner[item.mask[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]] = i
        owners.append(owner)
        records.append(
            {
                "caption": photo.caption.text,
                "objects": [
                    {
                        "identity": o.identity.name,
                        "box": o.box.as_list(),
                        "expressions": list(o.expressions),
                        "truncated": o.truncated,
                        "occluded": o.occluded,
                        "shows_accessory": o.shows_accessory,
                    }
                    for o in photo.objects
                ],
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path.with_suffix(".pixels.npy"), np.stack(pixels))
    np.save(path.with_suffix(".owners.npy"), np.stack(owners))
    path.write_text(json.dumps(records))  # last: an incomplete set is created again


def _load(path: Path) -> PhotoSet:
    return PhotoSet(
        np.load(path.with_suffix(".pixels.npy")),
        np.load(path.with_suffix(".owners.npy")),
        json.loads(path.read_text()),
    )

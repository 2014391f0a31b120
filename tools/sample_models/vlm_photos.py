"""Sets of photos with labels for training the vision-language model, kept on disk.

Training sets show identities that are neither kept for tuning nor in validation or test of a
default build. `tuning_photos` shows those of validation, and `holdout_photos` only `RESERVED`
ones. Each set has a world (seed) of its own.
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
"""Of an album: photos, and identities in them; half of these have a look-alike."""
STRIDE = 2
"""Pixels from one entry of `PhotoSet.owners` to the next."""
_FIRST, _TUNING, _LAST = FIRST_WORLD + 10_000, FIRST_WORLD + 9_000, 2_100_000

TRAINED = tuple(i for i in LEARNED if split_of(i.name, SplitSettings()) == "train")
"""The only identities that are trained on."""
_SPLIT = {i: split_of(i.name, SplitSettings()) for i in IDENTITIES}
TUNED = tuple(i for i in IDENTITIES if _SPLIT[i] == "validation")


@dataclass(frozen=True)
class PhotoSet:
    """n photos of `SIDE` pixels.

    Attributes:
        pixels: uint8 (n, SIDE, SIDE, 3).
        owners: int8 (n, SIDE / STRIDE, SIDE / STRIDE), whose a pixel is: a place in the photo's
            objects, or -1.
        photos: Of each photo `caption` and `objects`: dicts of `identity`, `box`, `expressions`,
            `truncated`, `occluded` and `shows_accessory`.
    """

    pixels: np.ndarray
    owners: np.ndarray
    photos: list[dict[str, Any]]


def albums(folder: Path, count: int, workers: int = 1) -> list[PhotoSet]:
    """The first albums to learn from; what is missing in `folder` is photographed."""
    missing = [k for k in range(count) if not _place(folder, f"{k:03d}").exists()]
    if missing and workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_photograph, [folder] * len(missing), missing))
    else:
        for k in missing:
            _photograph(folder, k)
    return [_load(_place(folder, f"{k:03d}")) for k in range(count)]


def tuning_photos(folder: Path, number: int = 0) -> PhotoSet:
    """Identities of validation, to choose settings by."""
    return _album(folder, f"tuning-{number}", TUNED, _TUNING + number)


def holdout_photos(folder: Path, number: int = 0) -> PhotoSet:
    """Identities of no build and no training, for the last examination."""
    return _album(folder, f"last-{number}", RESERVED, _LAST + number)


def _photograph(folder: Path, lesson: int) -> None:
    _album(folder, f"{lesson:03d}", TRAINED, _FIRST + lesson)


def _place(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _album(folder: Path, name: str, among: Sequence[Identity], seed: int) -> PhotoSet:
    place = _place(folder, name)
    if not place.exists():
        _save(place, _taken(among, seed))
    return _load(place)


def _taken(among: Sequence[Identity], seed: int) -> Iterator[WorldPhoto]:
    camera = World(SIDE, seed)
    cast = composition.choose(CAST, lambda _: "lessons", seed, among)
    plans = composition.plans(cast, lambda _: "lessons", seed)
    return (camera.take(plan) for plan in islice(plans, PHOTOS))


def _save(place: Path, taken: Iterator[WorldPhoto]) -> None:
    pixels, owners, photos = [], [], []
    for photo in taken:
        pixels.append(np.asarray(photo.image))
        owner = np.full((SIDE // STRIDE, SIDE // STRIDE), -1, np.int8)
        for i, seen in enumerate(photo.objects):
            owner[seen.mask[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]] = i
        owners.append(owner)
        photos.append(
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
    place.parent.mkdir(parents=True, exist_ok=True)
    np.save(place.with_suffix(".pixels.npy"), np.stack(pixels))
    np.save(place.with_suffix(".owners.npy"), np.stack(owners))
    place.write_text(json.dumps(photos))  # last: an album without it is begun anew


def _load(place: Path) -> PhotoSet:
    return PhotoSet(
        np.load(place.with_suffix(".pixels.npy")),
        np.load(place.with_suffix(".owners.npy")),
        json.loads(place.read_text()),
    )

"""What the two models of the world may learn from, and what they are tuned on.

They learn from `IDENTITIES`, less one in twenty that is kept to tune on, in worlds of their own:
other seeds than any build's, hence other textures, poses, light and company. `RESERVED` and the
hard categories and places appear in `holdout` alone, so what is measured there was seen
neither in training nor in tuning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice

from repic.sample import composition
from repic.sample.identities import IDENTITIES, Identity
from repic.sample.seeds import generator
from repic.sample.world import World, WorldPhoto

SIDE = 168
"""Pixels of a photo, as in a build."""
FIRST_WORLD = 1_000_000
"""Seed of the first world of training; a build has small ones, 0 as a rule."""
TUNING_WORLD = FIRST_WORLD - 1
_TUNING_SHARE = 0.05


def is_kept_for_tuning(identity: Identity) -> bool:
    """One in twenty, by a hash of the name."""
    digest = hashlib.sha256(f"tuning\0{identity.name}".encode()).digest()
    return digest[0] < 256 * _TUNING_SHARE


LEARNED = tuple(i for i in IDENTITIES if not is_kept_for_tuning(i))
TUNING = tuple(i for i in IDENTITIES if is_kept_for_tuning(i))


def training_photos(
    lesson: int, count: int, among: Sequence[Identity] = LEARNED
) -> Iterator[WorldPhoto]:
    """`count` photos of some identities; each lesson is a world of its own."""
    return _photos(World(SIDE, FIRST_WORLD + lesson), count, among)


def tuning_photos(count: int) -> Iterator[WorldPhoto]:
    """Photos of identities that no training sees, to choose settings by."""
    return _photos(World(SIDE, TUNING_WORLD), count, TUNING)


def alike(lesson: int, families: int, members: int) -> list[Identity]:
    """Identities that only fine attributes tell apart.

    Args:
        families: How many pairs of a category and a colour.
        members: Most identities of each.
    """
    rng = generator("alike", lesson)
    cells: dict[tuple[str, str], list[Identity]] = {}
    for identity in LEARNED:
        cells.setdefault((identity.category, identity.colour), []).append(identity)
    names = sorted(cells)
    chosen = [cells[names[i]] for i in rng.permutation(len(names))[:families]]
    return [cell[i] for cell in chosen for i in rng.permutation(len(cell))[:members]]


def _photos(camera: World, count: int, among: Sequence[Identity]) -> Iterator[WorldPhoto]:
    plans = composition.plans(among, lambda _: "lessons", camera.seed)
    return (camera.take(plan) for plan in islice(plans, count))

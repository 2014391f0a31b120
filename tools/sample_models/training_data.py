"""Training and tuning photos of the detector and the encoder.

Training uses `IDENTITIES` except one in twenty for tuning, in worlds whose seeds no build
uses, hence with different textures, poses, light and combinations. `RESERVED` identities and
the hard categories and backgrounds appear only in `holdout`.
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
"""Seed of the first training world; builds use small seeds, 0 by default."""
TUNING_WORLD = FIRST_WORLD - 1
_TUNING_SHARE = 0.05


def is_kept_for_tuning(identity: Identity) -> bool:
    """Whether an identity is one of the twentieth kept for tuning, by a hash of its name."""
    digest = hashlib.sha256(f"tuning\0{identity.name}".encode()).digest()
    return digest[0] < 256 * _TUNING_SHARE


LEARNED = tuple(i for i in IDENTITIES if not is_kept_for_tuning(i))
TUNING = tuple(i for i in IDENTITIES if is_kept_for_tuning(i))


def training_photos(
    round_index: int, count: int, among: Sequence[Identity] = LEARNED
) -> Iterator[WorldPhoto]:
    """`count` photos of some identities; each round has its own world."""
    return _photos(World(SIDE, FIRST_WORLD + round_index), count, among)


def tuning_photos(count: int) -> Iterator[WorldPhoto]:
    """Photos of identities that are not used in training, for choosing settings."""
    return _photos(World(SIDE, TUNING_WORLD), count, TUNING)


def alike(round_index: int, families: int, members: int) -> list[Identity]:
    """Identities that differ only in pattern and accessory within a family.

    Args:
        families: Number of families: pairs of a category and a colour.
        members: Maximum identities per family.
    """
    rng = generator("alike", round_index)
    cells: dict[tuple[str, str], list[Identity]] = {}
    for identity in LEARNED:
        cells.setdefault((identity.category, identity.colour), []).append(identity)
    names = sorted(cells)
    chosen = [cells[names[i]] for i in rng.permutation(len(names))[:families]]
    return [cell[i] for cell in chosen for i in rng.permutation(len(cell))[:members]]


def _photos(world: World, count: int, among: Sequence[Identity]) -> Iterator[WorldPhoto]:
    # The pool name is part of the seed of the shipped weights.
    plans = composition.plans(among, lambda _: "lessons", world.seed)
    return (world.take(plan) for plan in islice(plans, count))

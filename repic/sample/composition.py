"""Composition of data sets: the identities of each photo, each identity in two photos or more.

The plan of photo k does not depend on the number of photos, so a larger data set contains the
smaller one. A photo never mixes pools (splits) of identities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count as count_up
from itertools import islice

import numpy as np

from repic.sample.backgrounds import PLACES
from repic.sample.identities import IDENTITIES, Identity, Pool
from repic.sample.rendering import MAX_OBJECTS
from repic.sample.seeds import generator

LEAST_VIEWS = 2
CROWDS = (1,) * 6 + (2,) * 6 + (3,) * 5 + (4,) * 3
"""Numbers of objects per photo, drawn in shuffled rounds: 2.25 on average."""
LOOK_ALIKES = 0.5
"""Default probability that a drawn identity brings a look-alike."""


@dataclass(frozen=True)
class PhotoPlan:
    """Recipe of a photo; equal plans give equal pixels.

    Attributes:
        identities: The objects.
        background: A key of `backgrounds.PLACES` or `backgrounds.HARD_PLACES`.
        seed: Index of the photo in its data set.
        pool: The pool of all its identities.
    """

    identities: tuple[Identity, ...]
    background: str
    seed: int
    pool: str


def choose(
    count: int,
    pool: Pool,
    seed: int = 0,
    among: Sequence[Identity] = IDENTITIES,
    look_alikes: float = LOOK_ALIKES,
) -> tuple[Identity, ...]:
    """`count` identities, each pool with its share, many with a look-alike in the same pool.

    Look-alikes differ in one attribute, which makes negatives hard.

    Args:
        look_alikes: Probability that a drawn identity brings a look-alike, if its pool has one.

    Raises:
        ValueError: `count` is less than 1 or more than `among` has.
    """
    if not 1 <= count <= len(among):
        raise ValueError(f"{count} identities requested; choose 1 to {len(among)}")
    chosen: list[Identity] = []
    pools = _by_pool(among, pool)
    for name, quota in _quotas({n: len(members) for n, members in pools.items()}, count).items():
        rng = generator("identities", seed, name)
        chosen += _families(pools[name], quota, rng, look_alikes)
    return tuple(sorted(chosen, key=lambda identity: identity.name))


def plans(
    chosen: Sequence[Identity],
    pool: Pool,
    seed: int = 0,
    crowds: Sequence[int] = CROWDS,
    backgrounds: Sequence[str] = tuple(PLACES),
) -> Iterator[PhotoPlan]:
    """Endless plans: pools take turns by size, identities are drawn in shuffled rounds."""
    pools = _by_pool(chosen, pool)
    decks = {n: _Deck(members, crowds, generator("deck", seed, n)) for n, members in pools.items()}
    photo_counts = dict.fromkeys(pools, 0)
    for k in count_up():
        name = max(pools, key=lambda n: len(pools[n]) * (k + 1) - photo_counts[n] * len(chosen))
        photo_counts[name] += 1
        rng = generator("background", seed, k)
        background = backgrounds[int(rng.integers(len(backgrounds)))]
        yield PhotoPlan(decks[name].deal(), background, k, name)


def dataset(
    count: int, identities: int, pool: Pool, seed: int = 0, look_alikes: float = LOOK_ALIKES
) -> list[PhotoPlan]:
    """`count` photos of `identities` identities, each in about 2.25 * count / identities photos.

    Raises:
        ValueError: too few photos to show each identity twice; the message has the least number.
    """
    chosen = choose(identities, pool, seed, look_alikes=look_alikes)
    photo_plans = list(islice(plans(chosen, pool, seed), count))
    if min(_views(chosen, photo_plans)) < LEAST_VIEWS:
        least = len(dataset_of_views(LEAST_VIEWS, identities, pool, seed, look_alikes))
        raise ValueError(
            f"{count} photos cannot show {identities} identities twice each: "
            f"ask for {least} photos or more, or for fewer identities"
        )
    return photo_plans


def dataset_of_views(
    views: int, identities: int, pool: Pool, seed: int = 0, look_alikes: float = LOOK_ALIKES
) -> list[PhotoPlan]:
    """Just enough photos to show each identity at least `views` times."""
    chosen = choose(identities, pool, seed, look_alikes=look_alikes)
    missing = dict.fromkeys(chosen, views)
    photo_plans = []
    for plan in plans(chosen, pool, seed):
        if not missing:
            break
        photo_plans.append(plan)
        for identity in plan.identities:
            if identity in missing:
                missing[identity] -= 1
                if missing[identity] <= 0:
                    del missing[identity]
    return photo_plans


class _Deck:
    """Draws identities of one pool in shuffled rounds, none twice in a photo."""

    def __init__(
        self, members: Sequence[Identity], crowds: Sequence[int], rng: np.random.Generator
    ) -> None:
        self._members, self._crowds, self._rng = members, crowds, rng
        self._cards: list[Identity] = []
        self._sizes: list[int] = []

    def deal(self) -> tuple[Identity, ...]:
        if not self._sizes:
            self._sizes = [self._crowds[i] for i in self._rng.permutation(len(self._crowds))]
        size = min(self._sizes.pop(), len(self._members), MAX_OBJECTS)
        hand: list[Identity] = []
        while len(hand) < size:
            if all(card in hand for card in self._cards):
                self._cards += [self._members[i] for i in self._rng.permutation(len(self._members))]
            index = next(i for i, card in enumerate(self._cards) if card not in hand)
            hand.append(self._cards.pop(index))
        return tuple(hand)


def _by_pool(identities: Sequence[Identity], pool: Pool) -> dict[str, list[Identity]]:
    pools: dict[str, list[Identity]] = {}
    for identity in identities:
        pools.setdefault(pool(identity.name), []).append(identity)
    return dict(sorted(pools.items()))


def _quotas(sizes: dict[str, int], count: int) -> dict[str, int]:
    """Shares of `count` by pool size; at least two per pool if possible, so that pairs exist."""
    total = sum(sizes.values())
    least = {n: min(2, size) if count >= 2 * len(sizes) else 0 for n, size in sizes.items()}
    quotas = {n: max(least[n], count * size // total) for n, size in sizes.items()}
    while sum(quotas.values()) != count:
        step = 1 if sum(quotas.values()) < count else -1
        open_ = [n for n in sizes if least[n] <= quotas[n] + step <= sizes[n]]
        owed = {n: step * (count * sizes[n] - quotas[n] * total) for n in open_}
        quotas[max(open_, key=lambda n: owed[n])] += step
    return quotas


def _families(
    members: Sequence[Identity], count: int, rng: np.random.Generator, look_alikes: float
) -> list[Identity]:
    """`count` random identities, a share of them look-alikes of the previous one."""
    order = [members[i] for i in rng.permutation(len(members))]
    available = set(members)
    drawn: dict[Identity, None] = {}
    for identity in order:
        if len(drawn) >= count:
            break
        drawn[identity] = None
        alike = [a for a in identity.look_alikes() if a in available and a not in drawn]
        if alike and len(drawn) < count and rng.random() < look_alikes:
            drawn[alike[int(rng.integers(len(alike)))]] = None
    return list(drawn)


def _views(chosen: Sequence[Identity], photo_plans: Sequence[PhotoPlan]) -> list[int]:
    views = dict.fromkeys(chosen, 0)
    for plan in photo_plans:
        for identity in plan.identities:
            views[identity] += 1
    return list(views.values())

"""Which identities share a photo, in a whole data set: every one in two photos or more.

A plan of photo k does not depend on how many photos follow, so a data set grows by its new photos
alone. A photo never mixes the pools (splits) of identities.
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
"""Objects per photo, dealt in shuffled rounds: 2.25 on average."""
_FAMILY_SHARE = 0.5


@dataclass(frozen=True)
class PhotoPlan:
    """What a photo is made from; the same plan is the same pixels.

    Attributes:
        identities: The objects.
        background: A key of `backgrounds.PLACES` or `backgrounds.HARD_PLACES`.
        seed: Number of the photo in its data set.
        pool: The pool of all its identities.
    """

    identities: tuple[Identity, ...]
    background: str
    seed: int
    pool: str


def choose(
    count: int, pool: Pool, seed: int = 0, among: Sequence[Identity] = IDENTITIES
) -> tuple[Identity, ...]:
    """`count` identities, each pool with its share of them, about half with a look-alike.

    The look-alikes, which differ in one attribute, are what makes negatives hard.

    Raises:
        ValueError: there are not that many.
    """
    if not 1 <= count <= len(among):
        raise ValueError(f"{count} identities asked for; the world has 1 to {len(among)} of them")
    chosen: list[Identity] = []
    pools = _by_pool(among, pool)
    for name, quota in _quotas({n: len(members) for n, members in pools.items()}, count).items():
        rng = generator("identities", seed, name)
        chosen += _families(pools[name], quota, rng)
    return tuple(sorted(chosen, key=lambda identity: identity.name))


def plans(
    chosen: Sequence[Identity],
    pool: Pool,
    seed: int = 0,
    crowds: Sequence[int] = CROWDS,
    backgrounds: Sequence[str] = tuple(PLACES),
) -> Iterator[PhotoPlan]:
    """Photos without end: pools take turns by size, identities are dealt in shuffled rounds."""
    pools = _by_pool(chosen, pool)
    decks = {n: _Deck(members, crowds, generator("deck", seed, n)) for n, members in pools.items()}
    given = dict.fromkeys(pools, 0)
    for k in count_up():
        name = max(pools, key=lambda n: len(pools[n]) * (k + 1) - given[n] * len(chosen))
        given[name] += 1
        rng = generator("background", seed, k)
        place = backgrounds[int(rng.integers(len(backgrounds)))]
        yield PhotoPlan(decks[name].deal(), place, k, name)


def dataset(count: int, identities: int, pool: Pool, seed: int = 0) -> list[PhotoPlan]:
    """`count` photos of `identities` identities, each seen about 2.25 * count / identities times.

    `dataset_of_views` is the other way round.

    Raises:
        ValueError: too few photos to show each identity twice; it says how many it takes.
    """
    chosen = choose(identities, pool, seed)
    made = list(islice(plans(chosen, pool, seed), count))
    if min(_views(chosen, made)) < LEAST_VIEWS:
        least = len(dataset_of_views(LEAST_VIEWS, identities, pool, seed))
        raise ValueError(
            f"{count} photos cannot show {identities} identities twice each: "
            f"ask for {least} photos or more, or for fewer identities"
        )
    return made


def dataset_of_views(views: int, identities: int, pool: Pool, seed: int = 0) -> list[PhotoPlan]:
    """As many photos as it takes to show each identity `views` times, and few of them oftener."""
    chosen = choose(identities, pool, seed)
    missing = dict.fromkeys(chosen, views)
    made = []
    for plan in plans(chosen, pool, seed):
        if not missing:
            break
        made.append(plan)
        for identity in plan.identities:
            if identity in missing:
                missing[identity] -= 1
                if missing[identity] <= 0:
                    del missing[identity]
    return made


class _Deck:
    """Deals identities of one pool: shuffled rounds, never one twice in a photo."""

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
            at = next(i for i, card in enumerate(self._cards) if card not in hand)
            hand.append(self._cards.pop(at))
        return tuple(hand)


def _by_pool(identities: Sequence[Identity], pool: Pool) -> dict[str, list[Identity]]:
    pools: dict[str, list[Identity]] = {}
    for identity in identities:
        pools.setdefault(pool(identity.name), []).append(identity)
    return dict(sorted(pools.items()))


def _quotas(sizes: dict[str, int], count: int) -> dict[str, int]:
    """Shares of `count` by size; where it can be, at least two of each, so that there are pairs."""
    total = sum(sizes.values())
    least = {n: min(2, size) if count >= 2 * len(sizes) else 0 for n, size in sizes.items()}
    quotas = {n: max(least[n], count * size // total) for n, size in sizes.items()}
    while sum(quotas.values()) != count:
        step = 1 if sum(quotas.values()) < count else -1
        open_ = [n for n in sizes if least[n] <= quotas[n] + step <= sizes[n]]
        owed = {n: step * (count * sizes[n] - quotas[n] * total) for n in open_}
        quotas[max(open_, key=lambda n: owed[n])] += step
    return quotas


def _families(members: Sequence[Identity], count: int, rng: np.random.Generator) -> list[Identity]:
    """`count` of them at random, a share of them look-alikes of one that was drawn before."""
    order = [members[i] for i in rng.permutation(len(members))]
    known = set(members)
    drawn: dict[Identity, None] = {}
    for identity in order:
        if len(drawn) >= count:
            break
        drawn[identity] = None
        alike = [a for a in identity.look_alikes() if a in known and a not in drawn]
        if alike and len(drawn) < count and rng.random() < _FAMILY_SHARE:
            drawn[alike[int(rng.integers(len(alike)))]] = None
    return list(drawn)


def _views(chosen: Sequence[Identity], made: Sequence[PhotoPlan]) -> list[int]:
    views = dict.fromkeys(chosen, 0)
    for plan in made:
        for identity in plan.identities:
            views[identity] += 1
    return list(views.values())

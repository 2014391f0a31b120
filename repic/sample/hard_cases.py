"""Hard cases: photos for evaluation only, each kind hard in one way.

Their identities are `RESERVED` or of unseen categories, so no build contains them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Literal, get_args

from repic.sample import composition
from repic.sample.backgrounds import HARD_PLACES, PLACES
from repic.sample.composition import PhotoPlan
from repic.sample.identities import HARD_IDENTITIES, RESERVED, Identity
from repic.sample.rendering import MAX_OBJECTS
from repic.sample.seeds import generator

Kind = Literal["categories", "backgrounds", "four", "look-alikes"]
KINDS: tuple[Kind, ...] = get_args(Kind)
POOL = "hard"
LEAST_PHOTOS = 8
_VIEWS = 5


def dataset(kind: Kind, count: int, seed: int = 0) -> list[PhotoPlan]:
    """`count` photos, every identity in at least two of them.

    - `categories`: butterflies, ducks, mushrooms and teapots;
    - `backgrounds`: backgrounds that no other photo has;
    - `four`: always four objects;
    - `look-alikes`: two to four objects, each of which differs from the first in one attribute;
      each combination appears in two photos.

    Raises:
        ValueError: too few photos to show each identity twice.
    """
    if count < LEAST_PHOTOS:
        raise ValueError(f"{count} photos are too few hard cases: ask for {LEAST_PHOTOS} or more")
    match kind:
        case "categories":
            return _composed(HARD_IDENTITIES, count, seed)
        case "backgrounds":
            return _composed(RESERVED, count, seed, backgrounds=tuple(HARD_PLACES))
        case "four":
            return _composed(RESERVED, count, seed, crowds=(MAX_OBJECTS,))
        case "look-alikes":
            return _look_alikes(count, seed)


def _composed(
    among: Sequence[Identity],
    count: int,
    seed: int,
    crowds: Sequence[int] = composition.CROWDS,
    backgrounds: Sequence[str] = tuple(PLACES),
) -> list[PhotoPlan]:
    views = count * sum(crowds) // len(crowds)
    identities = min(len(among), max(MAX_OBJECTS, views // _VIEWS))
    chosen = composition.choose(identities, _one_pool, seed, among)
    return list(islice(composition.plans(chosen, _one_pool, seed, crowds, backgrounds), count))


def _one_pool(_: str) -> str:
    return POOL


def _look_alikes(count: int, seed: int) -> list[PhotoPlan]:
    rng = generator("look-alikes", seed)
    places = tuple(PLACES)
    companies = _companies(seed)
    plans: list[PhotoPlan] = []
    for k in range(count):
        # A last odd photo repeats the previous combination, so that each is seen twice.
        if k % composition.LEAST_VIEWS == 0 and k + 1 < count:
            company = next(companies)
        plans.append(PhotoPlan(company, places[int(rng.integers(len(places)))], k, POOL))
    return plans


def _companies(seed: int) -> Iterator[tuple[Identity, ...]]:
    """Endless combinations of an identity with one to three of its reserved look-alikes."""
    rng = generator("companies", seed)
    reserved = set(RESERVED)
    for i in cycle(rng.permutation(len(RESERVED))):
        alike = [a for a in RESERVED[i].look_alikes() if a in reserved]
        if alike:
            picked = rng.permutation(len(alike))[: int(rng.integers(1, MAX_OBJECTS))]
            yield (RESERVED[i], *(alike[j] for j in picked))

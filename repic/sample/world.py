"""The generated world: photos of known objects, with everything that is true of them.

    world = World(size=168)
    photo = world.photo(world.identities[:2], seed=7)
    photo.image, photo.objects[0].box, photo.caption.text

`python -m repic.sample OUT --count 40` writes photos, their index and a contact sheet.
The same world, identities and seed give the same pixels in any process and on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from repic.sample import caption_templates, composition, expressions, rendering
from repic.sample.backgrounds import HARD_PLACES, PLACES
from repic.sample.caption_templates import Caption
from repic.sample.composition import PhotoPlan
from repic.sample.identities import HARD_IDENTITIES, IDENTITIES, RESERVED, Identity, Pool
from repic.sample.rendering import MAX_OBJECTS, WorldObject
from repic.sample.seeds import generator

VERSION = 1
"""Raised by whoever changes what a photo looks like or what is said of it."""


@dataclass(frozen=True)
class WorldPhoto:
    """A photo and the truth about it.

    Attributes:
        image: RGB.
        objects: In the order in which the identities were given, whichever is in front.
        caption: Mentions every object once.
        background: A key of `PLACES` or `HARD_PLACES`.
    """

    image: Image.Image
    objects: tuple[WorldObject, ...]
    caption: Caption
    background: str


class World:
    """A world of objects and places, and the camera in it.

    Args:
        size: Pixels of a photo's side, 56 or more.
        seed: Which world: its textures, and its photos. Identities are the same in all of them.
    """

    identities: tuple[Identity, ...] = IDENTITIES
    """What builds are made of."""
    reserved: tuple[Identity, ...] = RESERVED
    """Of the same categories, in no build: for a last examination."""
    hard_identities: tuple[Identity, ...] = HARD_IDENTITIES
    """Of categories that no build has."""

    def __init__(self, size: int = 168, seed: int = 0) -> None:
        if size < 56:
            raise ValueError(f"a photo of {size} pixels shows nothing: give a size of 56 or more")
        self.size = size
        self.seed = seed

    def photo(
        self, identities: Sequence[Identity], seed: int, background: str | None = None
    ) -> WorldPhoto:
        """A photo of 1 to 4 different identities.

        Args:
            seed: Another one shows the same objects otherwise: position, scale, angle, light, what
                is in the way, and the background where none is given.
            background: A key of `PLACES` or `HARD_PLACES`.
        """
        if not 1 <= len(set(identities)) == len(identities) <= MAX_OBJECTS:
            raise ValueError(f"a photo shows 1 to {MAX_OBJECTS} different identities")
        names = [identity.name for identity in identities]
        rng = generator("photo", self.seed, self.size, seed, *names)
        drawn = tuple(PLACES)[int(rng.integers(len(PLACES)))]
        place = background or drawn
        image, objects = rendering.photograph(identities, place, self.size, self.seed, rng)
        caption = caption_templates.write(objects, {**PLACES, **HARD_PLACES}[place], self.size, rng)
        said = expressions.expressions(objects, self.size)
        return WorldPhoto(
            image,
            tuple(replace(o, expressions=e) for o, e in zip(objects, said, strict=True)),
            caption,
            place,
        )

    def take(self, plan: PhotoPlan) -> WorldPhoto:
        """The photo of a plan."""
        return self.photo(plan.identities, plan.seed, plan.background)

    def dataset(self, count: int, identities: int, pool: Pool) -> list[PhotoPlan]:
        """Plans of `count` photos over `identities` identities; see `repic.sample.composition`."""
        return composition.dataset(count, identities, pool, self.seed)

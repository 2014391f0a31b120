"""The generated world: photos of known objects with exact ground truth.

    world = World(size=168)
    photo = world.photo(world.identities[:2], seed=7)
    photo.image, photo.objects[0].box, photo.caption.text

`python -m repic.sample OUT --count 40` writes photos, their index and a contact sheet.
The same world, identities and seed give the same pixels in every process and on every machine.
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
"""Raise this when a change alters the pixels or the text of any photo."""


@dataclass(frozen=True)
class WorldPhoto:
    """A photo and its ground truth.

    Attributes:
        image: RGB.
        objects: In the order of the given identities, not of depth.
        caption: Mentions every object once.
        background: A key of `PLACES` or `HARD_PLACES`.
    """

    image: Image.Image
    objects: tuple[WorldObject, ...]
    caption: Caption
    background: str


class World:
    """Renders photos of a world of objects and backgrounds.

    Args:
        size: Pixels of a photo's side, 56 or more.
        seed: Selects the textures and the photos; identities are the same in all worlds.
    """

    identities: tuple[Identity, ...] = IDENTITIES
    """Identities of builds."""
    reserved: tuple[Identity, ...] = RESERVED
    """Held-out identities of the same categories; in no build."""
    hard_identities: tuple[Identity, ...] = HARD_IDENTITIES
    """Identities of categories that no build has."""

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
            seed: Varies position, scale, angle, light, occlusion, and the background if none is
                given.
            background: A key of `PLACES` or `HARD_PLACES`.
        """
        if not 1 <= len(set(identities)) == len(identities) <= MAX_OBJECTS:
            raise ValueError(f"a photo shows 1 to {MAX_OBJECTS} different identities")
        names = [identity.name for identity in identities]
        rng = generator("photo", self.seed, self.size, seed, *names)
        drawn = tuple(PLACES)[int(rng.integers(len(PLACES)))]
        name = background or drawn
        image, objects = rendering.render(identities, name, self.size, self.seed, rng)
        caption = caption_templates.write(objects, {**PLACES, **HARD_PLACES}[name], self.size, rng)
        phrases = expressions.expressions(objects, self.size)
        return WorldPhoto(
            image,
            tuple(replace(o, expressions=e) for o, e in zip(objects, phrases, strict=True)),
            caption,
            name,
        )

    def take(self, plan: PhotoPlan) -> WorldPhoto:
        """The photo of a plan."""
        return self.photo(plan.identities, plan.seed, plan.background)

    def dataset(
        self,
        count: int,
        identities: int,
        pool: Pool,
        look_alikes: float = composition.LOOK_ALIKES,
    ) -> list[PhotoPlan]:
        """Plans of `count` photos over `identities` identities; see `repic.sample.composition`."""
        return composition.dataset(count, identities, pool, self.seed, look_alikes)

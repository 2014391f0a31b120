"""True captions from sentence templates, with a slot for the phrase of each object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from repic.sample.expressions import CLEAR_SHARE
from repic.sample.identities import with_article
from repic.sample.rendering import WorldObject

SHAPES = (
    "{things} {place}.",
    "A photo of {things} {place}.",
    "This picture shows {things} {place}.",
    "There is {things} {place}.",
    "{Place} there is {things}.",
    "Here we see {things} {place}.",
)
BESIDE = "{left} is to the left of {right} {place}."


@dataclass(frozen=True)
class Caption:
    """A caption and the phrase of each object in it.

    Attributes:
        template: The sentence with `{0}`, `{1}` ... in place of the objects.
        phrases: The phrase of each object, in the order of the photo's objects.
    """

    template: str
    phrases: tuple[str, ...]

    @property
    def text(self) -> str:
        """The complete sentence: `A red mug with a bow and a plain blue car on grass.`"""
        return self.named({})

    def named(self, names: Mapping[int, str]) -> str:
        """The sentence with names, such as `<Anna>`, in place of the phrases of some objects."""
        words = [names.get(i, phrase) for i, phrase in enumerate(self.phrases)]
        sentence = self.template.format(*words)
        return sentence[0].upper() + sentence[1:]


def write(
    objects: Sequence[WorldObject], place: str, size: int, rng: np.random.Generator
) -> Caption:
    """A caption that mentions every object once, and the background.

    Args:
        place: Phrase of the background, for example `on grass`.
        size: Side of the photo in pixels.
    """
    phrases = tuple(with_article(o.identity.describe(accessory=o.shows_accessory)) for o in objects)
    order = [int(i) for i in rng.permutation(len(objects))]
    template = int(rng.integers(len(SHAPES) + 1))
    if template == len(SHAPES):
        if len(objects) == 2:
            left, right = sorted((0, 1), key=lambda i: objects[i].box.x1 + objects[i].box.x2)
            middles = [(o.box.x1 + o.box.x2) / 2 for o in objects]
            if middles[right] - middles[left] >= CLEAR_SHARE * size:
                sentence = BESIDE.format(left=f"{{{left}}}", right=f"{{{right}}}", place=place)
                return Caption(sentence, phrases)
        template = 0
    sentence = SHAPES[template].format(
        things=_list([f"{{{i}}}" for i in order]),
        place=place,
        Place=place[0].upper() + place[1:],
    )
    return Caption(sentence, phrases)


def _list(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)

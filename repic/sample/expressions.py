"""Referring expressions: phrases that match exactly one object of a photo.

An attribute phrase matches an object that has every attribute in the phrase. An object with a
hidden accessory matches any accessory, and its own is never stated, because no phrase may depend on
what cannot be seen. A spatial phrase compares objects that share a description; it is given only if
their distance makes the answer unambiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from repic.sample.identities import Identity
from repic.sample.rendering import WorldObject

ATTRIBUTES = ("colour", "pattern", "accessory")
CLEAR_SHARE = 0.15
"""Minimum distance of two box centers, as a share of the photo side, for a spatial phrase."""


def expressions(objects: Sequence[WorldObject], size: int) -> list[tuple[str, ...]]:
    """Phrases of each object: the shortest unique ones, the complete one, then spatial ones.

    Empty for an object that no phrase distinguishes.
    """
    return [
        tuple(dict.fromkeys([*_by_attributes(o, objects), *_by_place(o, objects, size)]))
        for o in objects
    ]


def _stateable(object: WorldObject) -> list[str]:
    return [a for a in ATTRIBUTES if a != "accessory" or object.shows_accessory]


def _fits(object: WorldObject, described: Identity, stated: Sequence[str]) -> bool:
    """Whether a phrase with these attributes of `described` may match an object."""
    own = object.identity
    if own.category != described.category:
        return False
    if "colour" in stated and own.colour != described.colour:
        return False
    if "pattern" in stated and (own.pattern, own.second_colour) != (
        described.pattern,
        described.second_colour,
    ):
        return False
    if "accessory" not in stated or own.accessory == described.accessory:
        return True
    return own.accessory is not None and not object.shows_accessory


def _phrase(identity: Identity, stated: Sequence[str]) -> str:
    words = identity.describe(
        colour="colour" in stated, pattern="pattern" in stated, accessory="accessory" in stated
    )
    return f"the {words}"


def _by_attributes(object: WorldObject, objects: Sequence[WorldObject]) -> list[str]:
    """All unique phrases with the fewest attributes, then one with colour, one with all."""
    stateable = _stateable(object)
    for count in range(len(stateable) + 1):
        unique = [
            stated
            for stated in combinations(stateable, count)
            if sum(_fits(other, object.identity, stated) for other in objects) == 1
        ]
        if unique:
            unique.sort(key=lambda stated: len(_phrase(object.identity, stated)))
            coloured = tuple(a for a in stateable if a == "colour" or a in unique[0])
            return [_phrase(object.identity, s) for s in [*unique, coloured, stateable]]
    return []


def _by_place(object: WorldObject, objects: Sequence[WorldObject], size: int) -> list[str]:
    """Phrases such as `the left mug` or `the uppermost red mug`, among objects that match."""
    phrases = []
    for stated in ((), ("colour",)):
        group = [o for o in objects if _fits(o, object.identity, stated)]
        others = [o for o in group if o is not object]
        if not others:
            continue
        noun = _phrase(object.identity, stated).removeprefix("the ")
        superlative = "most" if len(group) > 2 else ""
        for near, far, centre in _AXES:
            here = centre(object)
            if here < size / 2 and all(_clear(here, centre(o), size) for o in others):
                phrases.append(f"the {near}{superlative} {noun}")
            if here > size / 2 and all(_clear(centre(o), here, size) for o in others):
                phrases.append(f"the {far}{superlative} {noun}")
    return phrases


def _clear(less: float, more: float, size: int) -> bool:
    return more - less >= CLEAR_SHARE * size


_AXES: tuple[tuple[str, str, Callable[[WorldObject], float]], ...] = (
    ("left", "right", lambda o: (o.box.x1 + o.box.x2) / 2),
    ("upper", "lower", lambda o: (o.box.y1 + o.box.y2) / 2),
)

"""The objects of the world: a grid of attributes, split into disjoint sets.

An identity is a category, a colour, a pattern in a second colour, and an accessory. The grid of
14 categories x 8 colours x 9 patterns x 4 accessories has 4,032 cells. A hash of the name assigns
every fourth to `RESERVED`, the held-out set that no model is trained *or tuned* on, and the rest
to `IDENTITIES`; no seed changes that. Four more categories, `HARD_IDENTITIES`, are for evaluation
only (see `repic.sample.hard_cases`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

Pool = Callable[[str], str]
"""Maps the name of an identity to its pool (split)."""

Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "red": (214, 36, 40),
    "orange": (248, 136, 16),
    "yellow": (250, 222, 44),
    "green": (38, 150, 58),
    "turquoise": (56, 206, 204),
    "blue": (42, 74, 208),
    "purple": (132, 50, 172),
    "pink": (250, 138, 188),
}
SECOND_COLOURS: dict[str, Colour] = {"white": (246, 246, 244), "black": (26, 24, 30)}
PLAIN = "plain"
PATTERNS = ("stripes", "dots", "checks", "zigzags")
ACCESSORIES = ("bow", "crown", "flag")
CATEGORIES = (
    "ball",
    "bear",
    "boat",
    "bottle",
    "car",
    "chair",
    "fish",
    "hat",
    "house",
    "mug",
    "rocket",
    "star",
    "tree",
    "umbrella",
)
HARD_CATEGORIES = ("butterfly", "duck", "mushroom", "teapot")


def with_article(phrase: str) -> str:
    """`a red mug`, `an orange fish`."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


@dataclass(frozen=True)
class Identity:
    """One object of the world.

    Attributes:
        category: Category; also its label.
        colour: Its main colour, a key of `COLOURS`.
        pattern: `plain`, or one of `PATTERNS`.
        second_colour: Colour of the pattern, a key of `SECOND_COLOURS`; None where plain.
        accessory: One of `ACCESSORIES`, or None.
    """

    category: str
    colour: str
    pattern: str = PLAIN
    second_colour: str | None = None
    accessory: str | None = None

    @property
    def name(self) -> str:
        """Stable name, for example `mug-red-stripes-white-bow` or `ball-blue-plain`."""
        parts = (self.category, self.colour, self.pattern, self.second_colour, self.accessory)
        return "-".join(part for part in parts if part)

    @property
    def phrase(self) -> str:
        """The complete description: `red mug with white stripes and a bow`, `plain blue ball`."""
        return self.describe()

    def describe(self, colour: bool = True, pattern: bool = True, accessory: bool = True) -> str:
        """The category with the chosen attributes; no mention of an accessory that it lacks."""
        before = [self.category]
        after = []
        if colour:
            before.insert(0, self.colour)
        if pattern and self.pattern == PLAIN:
            before.insert(0, PLAIN)
        elif pattern:
            after.append(f"{self.second_colour} {self.pattern}")
        if accessory and self.accessory:
            after.append(with_article(self.accessory))
        return " ".join(before) + (f" with {' and '.join(after)}" if after else "")

    def differences(self, other: Identity) -> int:
        """Number of differences in category, colour, pattern (with its colour) and accessory."""
        return (
            (self.category != other.category)
            + (self.colour != other.colour)
            + ((self.pattern, self.second_colour) != (other.pattern, other.second_colour))
            + (self.accessory != other.accessory)
        )

    def look_alikes(self) -> list[Identity]:
        """All of the same category that differ in exactly one other attribute, in a fixed order."""
        return [
            *(replace(self, colour=c) for c in COLOURS if c != self.colour),
            *(
                replace(self, pattern=pattern, second_colour=second)
                for pattern, second in PAINTS
                if (pattern, second) != (self.pattern, self.second_colour)
            ),
            *(replace(self, accessory=a) for a in WORN if a != self.accessory),
        ]


PAINTS: tuple[tuple[str, str | None], ...] = (
    (PLAIN, None),
    *((pattern, second) for pattern in PATTERNS for second in SECOND_COLOURS),
)
WORN: tuple[str | None, ...] = (None, *ACCESSORIES)


def grid(categories: tuple[str, ...]) -> tuple[Identity, ...]:
    """Every identity of these categories."""
    return tuple(
        Identity(category, colour, pattern, second, accessory)
        for category in categories
        for colour in COLOURS
        for pattern, second in PAINTS
        for accessory in WORN
    )


def _is_reserved(identity: Identity) -> bool:
    """Whether no build contains it: a quarter of all, by a hash of the name."""
    return hashlib.sha256(f"reserved\0{identity.name}".encode()).digest()[0] < 64


IDENTITIES = tuple(i for i in grid(CATEGORIES) if not _is_reserved(i))
RESERVED = tuple(i for i in grid(CATEGORIES) if _is_reserved(i))
HARD_IDENTITIES = grid(HARD_CATEGORIES)

"""Checks what a caption says about where named objects are, by the centers of their boxes.

Read are `Ann is left of Bob`, `to the left of Ann is Bob`, `Ann on the left and Bob on the right`,
`Ann (left), Bob (right)`, `from left to right: Ann, Bob`, and `above` and `below` between two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from repic.images.coordinates import Box

_NEAR = r"(?:[^\W_]\w* ){0,4}?"
_RELATION = re.compile(
    rf"@(\d+) {_NEAR}(left|right) (?:side )?(?:of|from) (?:the )?@(\d+)"
    rf"|@(\d+) {_NEAR}(above|below|under|over|beneath) (?:the )?@(\d+)"
)
_INVERTED = re.compile(
    r"(?:to|on) the (left|right) (?:side )?of @(\d+) (?:is|stands|sits|lies|we see|there is) @(\d+)"
    r"|(above|below|under|over|beneath) @(\d+) (?:is|stands|sits|lies|we see|there is) @(\d+)"
)
_SIDE = re.compile(r"@(\d+) (?:\( )?(?:[^\W_]\w* ){0,3}?(left|right)\b(?! (?:side )?of\b)")
_SIDE_FIRST = re.compile(r"\b(left|right)(?: side)?(?: ,| :| is| stands| sits| we see)* @(\d+)")
_ROW = re.compile(r"left to right([^.;!?\n]{0,300})")
_NAME = re.compile(r"@(\d+)")


def positions(tokens: str, boxes: Mapping[str, Box]) -> Iterator[bool]:
    """Whether each claim about the places of two named objects holds.

    Args:
        tokens: The tokens of the caption, joined by spaces.
        boxes: Box of each name, as `@0`.
    """
    if len(boxes) < 2 or not _MAY_HOLD.search(tokens):
        return
    for match in _RELATION.finditer(tokens):
        first, relation, second = (part for part in match.groups() if part is not None)
        yield from _holds(boxes, first, relation, second)
    for match in _INVERTED.finditer(tokens):
        relation, second, first = (part for part in match.groups() if part is not None)
        yield from _holds(boxes, first, relation, second)
    for match in _ROW.finditer(tokens):
        for first, second in pairwise(_NAME.findall(match[1])):
            yield from _holds(boxes, first, "left", second)
    sides = dict(_SIDE.findall(tokens))
    sides |= {name: side for side, name in _SIDE_FIRST.findall(tokens)}
    for (first, side), (second, other) in pairwise(sides.items()):
        if side != other:
            yield from _holds(boxes, first, side, second)


_MAY_HOLD = re.compile(r" (?:left|right|above|below|under|over|beneath)\b|^(?:left|right)")


def _holds(boxes: Mapping[str, Box], first: str, relation: str, second: str) -> Iterator[bool]:
    """Whether the centers of the boxes are in this relation; nothing if an object is unknown."""
    one, other = boxes.get(f"@{first}"), boxes.get(f"@{second}")
    if one is None or other is None or one is other:
        return
    if relation in ("left", "right"):
        gap = other.x1 + other.x2 - one.x1 - one.x2
        yield gap > 0 if relation == "left" else gap < 0
    else:
        gap = other.y1 + other.y2 - one.y1 - one.y2
        yield gap > 0 if relation in ("above", "over") else gap < 0

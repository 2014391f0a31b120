"""Checks what a caption says about where named objects are, by the centers of their boxes.

Read are `Ann is left of Bob`, `to the left of Ann is Bob`, `Ann on the left and Bob on the right`,
`Ann (left), Bob (right)`, `from left to right: Ann, Bob`, and `above` and `below` between two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from repic.images.coordinates import Box

_PLACES = frozenset(("left", "right", "above", "below", "under", "over", "beneath"))
_NEAR = r"(?:[^\W_]\w* ){0,4}?"
_IS = r"(?:is|stands|sits|lies|there is|(?:we|you|i) (?:can )?(?:see|find|spot))"
_RELATION = re.compile(
    rf"(@\d+) {_NEAR}(left|right) (?:side )?(?:of|from) (?:the )?(@\d+)"
    rf"|(@\d+) {_NEAR}(above|below|under|over|beneath) (?:the )?(@\d+)"
)
_INVERTED = re.compile(
    rf"(?:to|on) the (left|right) (?:side )?of (@\d+) {_IS} (@\d+)"
    rf"|(above|below|under|over|beneath) (@\d+) {_IS} (@\d+)"
)
_SIDE = re.compile(r"(@\d+) (?:\( )?(?:[^\W_]\w* ){0,3}?(left|right)\b(?! (?:side )?of\b)")
_SIDE_FIRST = re.compile(rf"\b(left|right)(?: side)?(?: ,| :| {_IS})* (@\d+)")
_ROW = re.compile(r"left to right([^.;!?\n]{0,300})")
_NAME = re.compile(r"@\d+")


def positions(tokens: Sequence[str], boxes: Mapping[str, Box]) -> Iterator[bool]:
    """Whether each claim about the places of two named objects holds.

    Args:
        tokens: The tokens of the caption.
        boxes: Box of each name, as `@0`.
    """
    if len(boxes) < 2 or _PLACES.isdisjoint(tokens):
        return
    text = " ".join(tokens)
    claims = [(m[1] or m[4], m[2] or m[5], m[3] or m[6]) for m in _RELATION.finditer(text)]
    claims += [(m[3] or m[6], m[1] or m[4], m[2] or m[5]) for m in _INVERTED.finditer(text)]
    for match in _ROW.finditer(text):
        claims += [(one, "left", other) for one, other in pairwise(_NAME.findall(match[1]))]
    sides = dict(_SIDE.findall(text)) | {name: side for side, name in _SIDE_FIRST.findall(text)}
    for (one, side), (other, opposite) in pairwise(sides.items()):
        claims += [(one, side, other)] if side != opposite else []
    for one, place, other in claims:
        first, second = boxes.get(one), boxes.get(other)
        if first is not None and second is not None and first is not second:
            yield _is_so(first, place, second)


def _is_so(one: Box, place: str, other: Box) -> bool:
    gap = other.y1 + other.y2 - one.y1 - one.y2
    if place in ("left", "right"):
        gap = other.x1 + other.x2 - one.x1 - one.x2
    return gap > 0 if place in ("left", "above", "over") else gap < 0

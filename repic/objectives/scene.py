"""What is known of a query photo, written into the row so that a reward needs nothing else.

Three columns: `scene`, the objects of the photo with the names they have in this row; `telling`,
words that are true of it and of few other photos of its split; and `elsewhere`, words that describe
other photos and nothing known of this one. These others are those that negative pairs tie to the
photo, so that a row does not change when photos are added that no pair ties to it; and that a word
is common in a whole split, a few more photos seldom change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from heapq import nsmallest
from zlib import crc32

from repic.objectives.base import Row
from repic.objectives.corpus import Material, Object, Photo

MAX_ELSEWHERE = 96
"""Most words kept of other photos, the first by a hash; a row stays small."""

COMMON = 0.5
"""Share of the split's other photos above which a word tells nothing: who sees nothing would guess
it."""


def scene_of(things: Iterable[Object], names: Mapping[str, str]) -> list[Row]:
    """Entries of the `scene` column: every object of the query photo, in the order of their ids.

    Args:
        names: object_id -> the name that the object has in this row.
    """
    return [
        {
            "name": names.get(thing.object_id),
            "box": list(thing.box),
            "label": thing.label,
            "phrases": list(thing.phrases),
        }
        for thing in things
    ]


def checkable(
    material: Material, query: Photo, strangers: Iterable[Object]
) -> tuple[list[str], list[str]]:
    """The `telling` and the `elsewhere` words of a photo.

    Both are empty where the query has no caption or none of its objects is described. A caption
    alone is one true description among many and no yardstick.

    Args:
        strangers: Objects of other photos that are not in this one.
    """
    own = material.objects_of[query.image_id]
    if not query.caption or not (query.phrases or any(thing.expressions for thing in own)):
        return [], []
    known = material.words_of(query.image_id)
    frequency = material.document_frequency(material.splits[query.image_id])
    most = 1 + COMMON * (frequency.photos - 1)
    telling = [word for word in known if frequency.of[word] <= most]
    photos = {thing.image_id for thing in strangers}
    others = set[str]().union(*map(material.words_of, photos)).difference(known)
    return telling, nsmallest(MAX_ELSEWHERE, others, key=_place)


@lru_cache(maxsize=1 << 16)
def _place(word: str) -> tuple[int, str]:
    """Place of a word by its hash: another stranger with the same words changes nothing."""
    return crc32(word.encode("utf-8", "surrogatepass")), word

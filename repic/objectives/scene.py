"""What is known of a query photo, written into the row so that a reward needs nothing else.

Three columns: `scene`, the objects of the photo with the names they have in this row; `telling`,
words that are true of it and of few other photos; and `elsewhere`, words that describe other photos
and nothing known of this one. The others are those that negative pairs tie to the photo, so that a
row does not change when photos are added that no pair ties to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from zlib import crc32

from repic.objectives.base import Row
from repic.objectives.material import Material, Object, Photo

MAX_ELSEWHERE = 96
"""Most words kept of other photos, the first by a hash; a row stays small."""

COMMON = 0.5
"""Share of the other photos above which a word tells nothing: who sees nothing would guess it."""


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
    photos = dict.fromkeys(thing.image_id for thing in strangers)
    others = [material.words_of(photo) for photo in photos]
    shared = Counter(word for words in others for word in words)
    most = COMMON * len(others)
    telling = [word for word in known if shared[word] <= most]
    elsewhere = sorted((word for word in shared if word not in known), key=_place)
    return telling, elsewhere[:MAX_ELSEWHERE]


def _place(word: str) -> tuple[int, str]:
    """Place of a word by its hash: another stranger with the same words changes nothing."""
    return crc32(word.encode("utf-8", "surrogatepass")), word

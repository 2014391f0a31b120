"""What is known of a query photo, written into the row so that a reward needs nothing else.

Two columns: `scene`, the objects of the photo with the names they have in this row, and
`elsewhere`, words that describe what negative pairs tie to the photo and that nothing known of it
has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from repic.objectives.base import Row
from repic.objectives.material import Material, Object, Photo
from repic.objectives.words import STOP, plain_words

MAX_ELSEWHERE = 96
"""Most words kept of other photos; a row stays small."""


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
            "phrases": list(thing.expressions),
        }
        for thing in things
    ]


def elsewhere(material: Material, query: Photo, strangers: Iterable[Object]) -> list[str]:
    """Words of the strangers and of their photos' captions that nothing known of the query has.

    Empty where the query has no caption or no described object: there nothing says which words
    would be wrong.
    """
    own = material.objects_of[query.image_id]
    if not query.caption or not any(thing.expressions for thing in own):
        return []
    known = set(plain_words(query.caption))
    known.update(word for thing in own for word in _words(thing))
    found: dict[str, None] = {}
    for thing in strangers:
        caption = material.photos[thing.image_id].caption
        found.update(dict.fromkeys(_words(thing)))
        found.update(dict.fromkeys(plain_words(caption) if caption else ()))
    return [word for word in found if word not in known and word not in STOP][:MAX_ELSEWHERE]


def _words(thing: Object) -> list[str]:
    return [word for text in (thing.label, *thing.expressions) for word in plain_words(text)]

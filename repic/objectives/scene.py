"""What a row says about its query photo, so that a reward needs only the row.

Three columns: `scene`, the objects of the photo with their names in this row; `distinctive_words`,
which are true of the photo and of few others; and `distractor_words`, which describe
other photos and nothing known in this one. The other photos are those that negative pairs link to
this one, so that a row does not change when unrelated photos are added. Only where they give too
few words, as in a split of a few photos, common words of train fill up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from heapq import nsmallest
from zlib import crc32

from repic.objectives.base import Row
from repic.objectives.corpus import Corpus, Object, Photo

MAX_DISTRACTORS = 96
"""Maximum `distractor_words` of a row, so that it stays small."""

FEW_DISTRACTORS = 24
"""Words below which common ones of train fill up: few false words do not make guessing costly."""

COMMON = 0.5
"""Share of the other photos of train and the own split above which a word is not distinctive, as it
can be guessed without the image."""

FEWEST = 3
"""Distinctive words that a photo needs; fewer can be guessed, so its facts count as unknown."""


def scene_of(objects: Iterable[Object], names: Mapping[str, str]) -> list[Row]:
    """Entries of the `scene` column: the objects of the query photo, in the order of their ids.

    Args:
        names: object_id -> name of the object in this row.
    """
    return [
        {
            "name": names.get(obj.object_id),
            "box": list(obj.box),
            "label": obj.spoken or "",
            "phrases": list(obj.phrases),
        }
        for obj in objects
    ]


def is_described(corpus: Corpus, photo: Photo) -> bool:
    """Whether a photo has a caption and a description of an object.

    A caption alone is one of many true descriptions, so it cannot tell which words are false.
    """
    objects = corpus.objects_of[photo.image_id]
    is_object_described = bool(photo.phrases) or any(obj.expressions for obj in objects)
    return bool(photo.caption) and is_object_described


def choose_fact_words(
    corpus: Corpus, query: Photo, absent: Iterable[Object]
) -> tuple[list[str], list[str]]:
    """The `distinctive_words` and the `distractor_words` of a photo.

    Both are empty if the photo is not described, or if fewer than `FEWEST` words distinguish it.

    Args:
        absent: Objects of other photos that are not in this one.
    """
    if not is_described(corpus, query):
        return [], []
    words = corpus.words_of(query.image_id)
    frequency = corpus.document_frequency(corpus.splits[query.image_id])
    most = 1 + COMMON * (frequency.photos - 1)
    distinctive = [word for word in words if frequency.counts[word] <= most]
    if len(distinctive) < FEWEST:
        return [], []
    image_ids = {obj.image_id for obj in absent}
    others = set[str]().union(*map(corpus.words_of, image_ids)).difference(words)
    distractors = nsmallest(MAX_DISTRACTORS, others, key=_hash_order)
    if (missing := FEW_DISTRACTORS - len(distractors)) > 0:
        more = frequency.frequent.difference(words, others)
        distractors += nsmallest(missing, more, key=_hash_order)
    return distinctive, distractors


@lru_cache(maxsize=1 << 16)
def _hash_order(word: str) -> tuple[int, str]:
    """Sort key of a word by its hash, which does not depend on the photo that it comes from."""
    return crc32(word.encode("utf-8", "surrogatepass")), word

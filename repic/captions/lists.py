"""Names that a list has twice: `<Ann>, a mug and <Ann>` is said of two objects.

A text may say a name as often as it likes (`<Ann> sits, and <Ann> smiles`). Only a list is read:
names, and phrases that begin with an article, between commas and `and`. A name with a verb, a noun
or `'s` after it is no member of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from repic.captions.vocabulary import ARTICLES, PREPOSITIONS

_CODES = dict.fromkeys(PREPOSITIONS | {"are", "were"}, "p") | dict.fromkeys(ARTICLES, "a")
_CODES |= {",": ",", "and": "&", "plus": "&", "(": "(", ")": ")", "'s": "w"}
"""Token -> one character, beside names, words (w) and marks (.)."""

_ASIDE = re.compile(r"\([^()]*\)")
_NAME = "[\U000f0000-\U000fffff](?![wa])"
_AND = "(?:,&?|&)"
_ITEM = f"(?:{_NAME}|a[wp]{{1,12}})"
_LIST = re.compile(f"{_ITEM}(?:{_AND}{_ITEM})+")


def listed_twice(tokens: Sequence[str]) -> list[int]:
    """Numbers of names, one for each time that a list has a name again.

    Args:
        tokens: See `repic.captions.mentions.CaptionReading.tokens`.
    """
    codes = _ASIDE.sub("", "".join(map(_code, tokens)))
    again: list[int] = []
    for found in _LIST.findall(codes):
        names = [ord(code) - 0xF0000 for code in found if code >= "\U000f0000"]
        again += (Counter(names) - Counter({*names})).elements()
    return again


def _code(token: str) -> str:
    if token[0] == "@":
        return chr(0xF0000 + int(token[1:]))
    return _CODES.get(token) or ("w" if token[0].isalnum() else ".")

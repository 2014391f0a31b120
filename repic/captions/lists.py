"""Names that a list has twice: `<Ann>, a mug and <Ann>` is said of two objects.

A text may say a name as often as it likes (`<Ann> sits, and <Ann> smiles`). Only a list is read:
names, and phrases that begin with an article, between commas and `and`. After `and` and a name, a
comma and another name begin something else (`Ann and Bob, Ann on the left`), and so does the same
name after a comma and `and` (`This is Ann, and Ann in turn smiles`). A name counts if a participle
follows (`<Ann> and <Ann> sitting`), but not if a verb, a noun or `'s` does, unless the names begin
the sentence (`<Ann> and <Ann> sit`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from repic.captions.vocabulary import ARTICLES, PREPOSITIONS

_CODES = dict.fromkeys(PREPOSITIONS | {"are", "were"}, "p") | dict.fromkeys(ARTICLES, "a")
_CODES |= {",": ",", "and": "&", "plus": "&", "(": "(", ")": ")", "'s": "s"}
"""Token -> one character, beside names, participles (g), other words (w) and marks (.)."""

_ASIDE = re.compile(r"\([^()]*\)")
_SAID = "[\U000f0000-\U000fffff]"
_CLAUSE = re.compile(f"(?<![,&])({_SAID}),(?=&\\1)")
_ALONE = "(?:g|(?![was]))"
_NAME = f"{_SAID}{_ALONE}"
_PHRASE = "(?:,&?|&)a[wpgs]{1,12}"
_MORE = f"(?:{_PHRASE}|,{_NAME})*"
_LAST = f",?&(?P<name>{_SAID}){_ALONE}(?:,(?P=name){_ALONE})*"
_SUBJECT = f"(?:^|\\.){_NAME}(?:,{_NAME})*(?:(?:,?&{_NAME})*&|,){_SAID}(?=w)"
_ITEMS = f"(?:{_NAME}|a[wpgs]{{1,12}}){_MORE}(?:{_LAST}(?:{_PHRASE}{_MORE})?)*"
_LIST = re.compile(f"{_SUBJECT}|{_ITEMS}")


def listed_twice(tokens: Sequence[str]) -> list[int]:
    """Numbers of names, one for each time that a list has a name again.

    Args:
        tokens: See `repic.captions.mentions.CaptionReading.tokens`.
    """
    codes = _CLAUSE.sub(r"\1.", _ASIDE.sub("", "".join(map(_code, tokens))))
    again: list[int] = []
    for found in _LIST.finditer(codes):
        names = [ord(code) - 0xF0000 for code in found[0] if code >= "\U000f0000"]
        again += (Counter(names) - Counter({*names})).elements()
    return again


def _code(token: str) -> str:
    if token[0] == "@":
        return chr(0xF0000 + int(token[1:]))
    if token[0].isalnum():
        return _CODES.get(token) or ("g" if len(token) > 4 and token.endswith("ing") else "w")
    return _CODES.get(token, ".")

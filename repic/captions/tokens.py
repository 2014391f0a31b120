"""Words of a text in any script: how a caption is cut, and when two words are the same.

Time is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

HAN = "\u3040-\u30ff\u3400-\u9fff"
HANGUL = "\uac00-\ud7a3"
# Combining marks and zero-width characters belong to the word, so that they cannot hide in a name.
_EXTRA = "\u0300-\u036f\u20d0-\u20ff\u200b-\u200f\u2060\ufeff"
_RUN = rf"(?:[^\W{HAN}{HANGUL}]|[{_EXTRA}])+"
_WORD = rf"[{HAN}]+|[{HANGUL}]+|{_RUN}(?:['\u2019-]{_RUN})*"
ITEM = re.compile(rf"<([^<>\n]{{1,60}})>|({_WORD})|([,.!?;:()\n\u3002\uff0c\uff01\uff1f])")
"""A tag, a word, or a mark that bounds a clause."""

MAX_MARKS = 30
_MAY_CHANGE = re.compile("[\u0300-\U0010ffff]")
"""What is below combines with nothing, and is composed already."""
_STOP = """
a an the this that these those and or but of in on at to from with by for as is are was were be
been being it its there here we see seen shows show shown showing photo picture image photograph
scene one which who while has have had both also into against front next beside near left right
side upper lower uppermost lowermost leftmost rightmost name info his her their them they he she
i you can
"""
STOP = frozenset(_STOP.split())
"""Words that say nothing of what a picture shows."""

_SUFFIX = re.compile(r"(?<=[^\W\d_]{3})(?:'s|\u2019s|ing|ed|es|s|y|en)$")


def composed(text: str) -> str:
    """The text in NFC, or as it is where over 30 combining marks stand in a row.

    No language needs more (UAX #15, stream-safe text), and composing them takes quadratic time.
    """
    if text.isascii() or not _MAY_CHANGE.search(text):
        return text
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > MAX_MARKS:
            return text
    return unicodedata.normalize("NFC", text)


def bare(text: str) -> str:
    """An answer without the white space around it and without one `.` or `!` at its end.

    Only ASCII white space is free: Python's own `strip` also takes control characters.
    """
    text = text.strip(" \t\r\n")
    return text[:-1] if text[-1:] in (".", "!") else text


def plain_words(text: str) -> list[str]:
    """Words of a text in order, casefolded; tags are left out, each Han character is a word."""
    found: list[str] = []
    for _, word, _ in ITEM.findall(composed(text).casefold()):
        if word:
            found += list(word) if is_han(word) else [word]
    return found


def is_han(word: str) -> bool:
    """Whether the word begins in a script without spaces between words."""
    return "\u3040" <= word[0] <= "\u30ff" or "\u3400" <= word[0] <= "\u9fff"


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """What forms of one word share: `stripes`, `striped` and `stripe` are all `strip`.

    Not a linguist's stem: it need only be the same on both sides of a comparison.
    """
    if len(word) > 40:
        return word
    short = _SUFFIX.sub("", word)
    if len(short) > 3 and short[-1] == short[-2]:
        short = short[:-1]
    return short.removesuffix("e") if len(short) > 3 else short


@lru_cache(maxsize=1 << 14)
def stems(text: str) -> frozenset[str]:
    """Stems of the words of a text that say something."""
    return frozenset(stem(word) for word in plain_words(text) if word not in STOP)

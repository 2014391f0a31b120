"""Tokens of a caption in any script, and stems to compare words by.

All functions take time linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

HAN = "\u3040-\u30ff\u3400-\u9fff"
HANGUL = "\uac00-\ud7a3"
# Combining marks and zero-width characters are part of a word, so that they cannot split a name.
_EXTRA = "\u0300-\u036f\u20d0-\u20ff\u200b-\u200f\u2060\ufeff"
_RUN = rf"(?:[^\W{HAN}{HANGUL}]|[{_EXTRA}])+"
_WORD = rf"[{HAN}]+|[{HANGUL}]+|{_RUN}(?:['\u2019-]{_RUN})*"
TOKEN = re.compile(rf"<([^<>\n]{{1,60}})>|({_WORD})|([,.!?;:()|#\u3002\uff0c\uff01\uff1f]|\n\s*)")
"""A tag, a word, or a mark that ends a clause; line breaks in a row are one."""

MAX_MARKS = 30
"""Combining marks in a row up to which a text is normalized."""

# Characters below U+0300 are already composed, and none of them combines.
_MAY_CHANGE = re.compile("[\u0300-\U0010ffff]")
_HAN = re.compile(f"[{HAN}]")
_STOP = """
a an the this that these those and or but of in on at to from with by for as is are was were be
been being it its there here we see seen shows show shown showing photo picture image photograph
scene one which who while has have had both also into against front next beside near left right
side upper lower uppermost lowermost leftmost rightmost name info his her their them they he she
i you can
"""
STOP_WORDS = frozenset(_STOP.split())
"""Words that carry no information about what a picture shows."""

_SUFFIX = re.compile(r"(?<=[^\W\d_]{3})(?:'s|\u2019s|ing|ed|es|s|y|en)$")


def compose(text: str) -> str:
    """The text in NFC, or unchanged if it has more than `MAX_MARKS` combining marks in a row.

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


def plain_words(text: str) -> list[str]:
    """Words of a text in order, casefolded. Tags are skipped; each Han character is a word."""
    words: list[str] = []
    for _, word, _ in TOKEN.findall(compose(text).casefold().replace("\u2019", "'")):
        if word:
            words += list(word) if is_han(word) else [word]
    return words


def is_han(text: str) -> bool:
    """Whether the text has Han characters or kana: a script without spaces between words."""
    return not text.isascii() and _HAN.search(text) is not None


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The common part of a word's forms: `stripes`, `striped` and `stripe` all give `strip`.

    This is cruder than a linguistic stemmer; it only has to be the same on both sides of a
    comparison.
    """
    if len(word) > 40:
        return word
    short = _SUFFIX.sub("", word)
    if len(short) > 3 and short[-1] == short[-2]:
        short = short[:-1]
    return short.removesuffix("e") if len(short) > 3 else short


@lru_cache(maxsize=1 << 14)
def content_stems(text: str) -> frozenset[str]:
    """Stems of the words of a text, without stop words."""
    return frozenset(stem(word) for word in plain_words(text) if word not in STOP_WORDS)

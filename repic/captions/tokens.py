"""Tokens of a caption in any script, and stems to compare words by.

All functions take time linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from repic.captions.vocabulary import STOP_WORDS

HAN = "\u3040-\u30ff\u3400-\u9fff"
HANGUL = "\uac00-\ud7a3"
# Combining marks and zero-width characters are part of a word, so that they cannot split a name.
_EXTRA = "\u0300-\u036f\u20d0-\u20ff\u200b-\u200f\u2060\ufeff"
_RUN = rf"(?:[^\W{HAN}{HANGUL}]|[{_EXTRA}])+"
_WORD = rf"[{HAN}]+|[{HANGUL}]+|{_RUN}(?:['\u2019-]{_RUN})*"
MARKS = frozenset(",.!?;:()|#\u3002\uff0c\uff01\uff1f\n")
# The first alternative is the usual one, for speed.
TOKEN = re.compile(
    rf"[A-Za-z0-9]+(?=[ ,.!?;:()<>\n]|$)|<[^<>\n]{{1,60}}>|{_WORD}|'s(?!\w)"
    r"|\.+|!+|\?+|#+|[,;:()|\u3002\uff0c\uff01\uff1f]|\n\s*"
)
"""A word, a tag, or a mark of `MARKS`; `...`, `###` and line breaks in a row are one."""

MAX_MARKS = 30
"""Combining marks, or others above U+02FF, in a row up to which a text is normalized."""

_MANY_MARKS = re.compile(r"[^\w\x00-\u02ff]{31}")
_HAN = re.compile(f"[{HAN}]")
_SUFFIX = re.compile(r"(?<=[^\W\d_]{3})(?:'s|\u2019s|ing|ed|es|s|y|en)$")


def compose(text: str) -> str:
    """The text in NFC, or unchanged if it has more than `MAX_MARKS` marks in a row.

    No language needs more (UAX #15, stream-safe text), and composing them takes quadratic time.
    """
    if text.isascii() or _MANY_MARKS.search(text):
        return text
    return unicodedata.normalize("NFC", text)


def normal(text: str) -> str:
    """The text as `compose` gives it, with straight apostrophes."""
    return compose(text).replace("\u2019", "'")


@lru_cache(maxsize=1 << 14)
def simple(token: str) -> str:
    """A mark, or a word of ASCII letters in lower case; empty for tags and all other words."""
    if token[0] in MARKS:
        return token[0]
    return token.lower() if token.isascii() and token.isalnum() else ""


def plain_words(text: str) -> list[str]:
    """Words of a text in order, casefolded. Tags are skipped; each Han character is a word."""
    folded = compose(text).casefold()
    found = [w for w in TOKEN.findall(folded) if w[0] != "<" and w[0] not in MARKS]
    if not is_han(folded):
        return [word.removeprefix("'") for word in found]
    words: list[str] = []
    for word in found:
        words += list(word) if is_han(word) else [word.removeprefix("'")]
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

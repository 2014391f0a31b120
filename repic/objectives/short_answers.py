"""Answers of one word: `yes`, `no`, or a name, in the few forms in which people write them.

One pair of straight quotes and one final mark may surround the word, and a short clause that
repeats the answer may stand beside it. Anything else makes an answer ambiguous: it is not read.
"""

from __future__ import annotations

import re

_SPACE = " \t\r\n"
_MARKS = (".", "!", "\u3002", "\uff01")
_QUOTES = ('"', "'")
_AGREES = r"(?:(?:that|this|it)(?: is|'s) (?:right|correct|true))"
_SUBJECT = r"(?:it|he|she|they|this|that)"
_YES = re.compile(rf"yes, (?:{_AGREES}|{_SUBJECT} (?:is|are|does|do))")
_NO = re.compile(rf"no, (?:{_AGREES}|{_SUBJECT} (?:is|are|does|do)(?: not|n't))")
_FRAME = re.compile(
    r"(?:(?:it|this|that) is|it's|(?:the|its) name is|the answer is) ", re.IGNORECASE
)


def bare(text: str) -> str:
    """The text without white space, one final mark, and one pair of straight quotes around it.

    Only ASCII white space is removed: `str.strip` would also remove control characters.
    """
    text = _without_mark(text.strip(_SPACE))
    if len(text) > 2 and text[0] == text[-1] and text[0] in _QUOTES:
        text = _without_mark(text[1:-1])
    return text


def _without_mark(text: str) -> str:
    return text[:-1] if text.endswith(_MARKS) else text


def yes_or_no(text: str) -> str | None:
    """`yes` or `no` if the text is only that word in ASCII letters of any case, else None.

    A clause may repeat it: `Yes, it is.`, `No, it isn't.`, `No, that is right.`
    """
    word = bare(text).lower()
    if word in ("yes", "no"):
        return word
    if _YES.fullmatch(word):
        return "yes"
    return "no" if _NO.fullmatch(word) else None


def framed(text: str) -> str:
    """The bare text without a frame before it: `It is <Ann>.`, `The name is Ann`."""
    text = bare(text)
    frame = _FRAME.match(text)
    return bare(text[frame.end() :]) if frame else text

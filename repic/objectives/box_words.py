"""Words around a box: they may announce it and repeat the question, and nothing else.

An answer whose words deny or doubt its own box, offer another place, or are about another thing,
does not give that box. The words that do so have no end, those that announce a box have one: these
are listed, and the words of the question are added.
"""

from __future__ import annotations

import re
from functools import lru_cache

from repic.captions.tokens import stem
from repic.images.box_text import BoxError

_WORD = re.compile(r"[^\W_]+(?:['\u2019_-][^\W_]+)*")
_SIGN = re.compile(
    "[^\\w\\s.,:;!()\\[\\]{}<>\"'`*#_/|=\u2019\u201c\u201d\u3002\uff1a\u2192\u2022\u2013\u2014-]|!=|<!--|//"
)
"""Signs that are no plain punctuation and may deny or doubt: `?`, `~`, `%`, a cross, a comment."""

QUOTE = 3
"""Words in a row of the question that repeat it, and so deny nothing: `the man without a hat`."""

_ANNOUNCE = """
a an the this that these those it its is are was of in at on to for with by as and from here there
i you your we can be has have see seen found find finds located location locate detected identified
given give gives shown shows marked visible lies below following follows result results output final
answer sure certainly course okay ok yes done please requested asked
box boxes bounding bbox bbox_2d rectangle frame coordinate coordinates corner corners position
region area pixel pixels x1 y1 x2 y2
object objects thing item items target detection detections prediction predictions
picture image photo json format python text
label labels name class category type description caption id index score confidence value
tight single one expression query
"""
ANNOUNCING = frozenset(_ANNOUNCE.split())
"""Words that announce a box, or name a part of its notation."""

_DENY = """
no not never none nothing nobody nowhere neither nor without except but unlike instead rather else
cannot can't isn't aren't wasn't doesn't don't didn't won't couldn't wouldn't
maybe perhaps possibly probably might may could guess guessing unsure uncertain unclear unknown
wrong false incorrect bad fake random ignore refuse sorry absent invisible
alternative alternatively either or if unless
"""
DENYING = frozenset(_DENY.split())
"""Words that deny or doubt a box, also where the question itself has them."""


def check(around: str, question: str) -> None:
    """Check the text around the box of an answer.

    Args:
        around: `repic.images.box_text.BoxText.around`.
        question: The prompt; if empty, only `DENYING` words are refused.

    Raises:
        BoxError: `denied` or `other-words`.
    """
    if sign := _SIGN.search(around):
        raise BoxError("denied", f"{sign.group()!r} may deny or doubt the box")
    words = [word.replace("\u2019", "'") for word in _WORD.findall(around.casefold())]
    if not words:
        return
    stems, runs = _of_question(question)
    quoted = {
        index
        for start in range(len(words) - QUOTE + 1)
        if tuple(words[start : start + QUOTE]) in runs
        for index in range(start, start + QUOTE)
    }
    for index, word in enumerate(words):
        if index in quoted or word.isdecimal():
            continue
        if word in DENYING:
            raise BoxError("denied", f"{word!r} denies or doubts the box")
        if question and word not in ANNOUNCING and stem(word) not in stems:
            raise BoxError(
                "other-words", f"{word[:20]!r} neither announces a box nor was asked for"
            )


@lru_cache(maxsize=4096)
def _of_question(question: str) -> tuple[frozenset[str], frozenset[tuple[str, ...]]]:
    """Stems of the words of a question, and all its runs of `QUOTE` words."""
    words = _WORD.findall(question.casefold())
    runs = (tuple(words[start : start + QUOTE]) for start in range(len(words) - QUOTE + 1))
    return frozenset(map(stem, words)), frozenset(runs)

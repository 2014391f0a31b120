"""Clauses of a caption, and negations in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from repic.captions.vocabulary import CUES, EXCEPTIONS, FOREIGN, FRAME, IDIOMS, NEGATIONS

ENDS = frozenset(".!?;\n\u3002\uff01\uff1f")
"""Marks that end a clause."""

LONGEST = 100
"""Words after which a clause is cut, so that time is linear in the text."""

# Negations of languages whose words are not split into tokens.
_UNSPACED_NEGATION = re.compile("[不没沒無无]|없|아니")


@dataclass(frozen=True, slots=True)
class Clause:
    """Words up to a mark that ends a clause; without a cue, it affirms all that it says."""

    words: list[str]
    end: str
    has_cue: bool


def split_clauses(tokens: Sequence[str]) -> list[Clause]:
    """The clauses of the tokens of a caption; in those with a cue, an idiom is one word."""
    clauses, start = [], 0
    for end in [i for i, token in enumerate(tokens) if token in ENDS] + [len(tokens)]:
        mark = tokens[end] if end < len(tokens) else "."
        for begin in range(start, end, LONGEST):
            words = [*tokens[begin : min(end, begin + LONGEST)]]
            if has_cue := mark == "?" or any(map(is_cue, words)):
                words = join_idioms(words)
            clauses.append(Clause(words, mark, has_cue))
        start = end + 1
    return clauses


def join_idioms(words: list[str]) -> list[str]:
    """The words, each idiom as one: `out of` is `nowhere`."""
    for index in range(len(words) - 2, -1, -1):
        if (one := IDIOMS.get((words[index], words[index + 1]))) is not None:
            words[index : index + 2] = [one]
    return words


@lru_cache(maxsize=1 << 14)
def is_cue(word: str) -> bool:
    """Whether the word may keep its clause from affirming all that it says."""
    return word in CUES or word.endswith("n't") or is_foreign_negation(word)


@lru_cache(maxsize=1 << 14)
def is_foreign_negation(word: str) -> bool:
    """Whether the word denies the names of its clause in another language than English."""
    return word in FOREIGN or _UNSPACED_NEGATION.search(word) is not None


@lru_cache(maxsize=1 << 14)
def is_negation(word: str) -> bool:
    """Whether the word turns what is said around: `not`, `isn't`, `absent`."""
    return word in NEGATIONS or word.endswith("n't")


@lru_cache(maxsize=1 << 14)
def is_frame(word: str) -> bool:
    """Whether the word says nothing of what is in the photo but that it is there, or not."""
    return word in FRAME or is_negation(word)


def is_negative(words: Sequence[str]) -> bool:
    """Whether the number of negations is odd; `nor` after `neither` is none."""
    count = sum(is_negation(word) or word in EXCEPTIONS for word in words)
    return (count - ("neither" in words and "nor" in words)) % 2 == 1

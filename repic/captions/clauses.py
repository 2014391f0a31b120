"""Clauses of a caption, and negations in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from repic.captions.vocabulary import (
    ABSENT,
    EXCEPTION_AFTER,
    EXCEPTIONS,
    FRAME,
    NEGATIONS,
)

ENDS = frozenset(".!?;\n\u3002\uff01\uff1f")
"""Marks that end a clause."""

LONGEST = 100
"""Words after which a clause is cut, so that time is linear in the text."""


@dataclass(frozen=True)
class Clause:
    """Words up to a mark that ends a clause."""

    words: list[str]
    end: str
    answer: int | None
    """Parity of the negations in a next clause of frame words only, as in "Ann? No."."""


def split_clauses(tokens: Sequence[str]) -> Iterator[Clause]:
    """The clauses of the tokens of a caption."""
    parts: list[tuple[list[str], str]] = []
    words: list[str] = []
    for token in (*tokens, "."):
        if token not in ENDS:
            words.append(token)
        if token in ENDS or len(words) == LONGEST:
            if words:
                parts.append((words, token))
            words = []
    for (words, end), (reply, _) in zip(parts, [*parts[1:], ([], "")], strict=False):
        is_reply = bool(reply) and all(is_frame(word) or word == "," for word in reply)
        yield Clause(words, end, negations(reply) % 2 if is_reply else None)


def is_negation(word: str) -> bool:
    """Whether the word turns what is said around: `not`, `isn't`, `absent`."""
    return word in NEGATIONS or word in ABSENT or word.endswith("n't")


def is_frame(word: str) -> bool:
    """Whether the word says nothing of what is in the photo but that it is there, or not."""
    return word in FRAME or is_negation(word)


def negations(words: Sequence[str]) -> int:
    """Number of negations; an exception after one counts as another: `not only`, `nobody but`."""
    count = 0
    for position, word in enumerate(words):
        before = words[position - 1] if position else ""
        if word == "left":
            count += before in ("has", "have", "had")
        elif word == "out":
            count += words[position + 1 : position + 2] == ["of"]
        elif word == "never":
            count += before not in ("have", "has", "had")
        elif word in ("only", "just", "merely", "longer"):
            count += word != "longer" and before == "not"
        elif word in EXCEPTIONS:
            count += before in EXCEPTION_AFTER.get(word, (before,))
        else:
            count += is_negation(word) and not (word == "nor" and "neither" in words)
    return count

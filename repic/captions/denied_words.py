"""Words that a caption denies, lists as absent or untrue, or says of the surroundings only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from repic.captions.clauses import ENDS, LONGEST, Clause, is_frame, is_negation, negations
from repic.captions.vocabulary import (
    ADJECTIVES,
    DETERMINERS,
    PREPOSITIONS,
    RESUMPTIONS,
    SEEMING,
    SURROUNDINGS,
    TRUTH,
    UNREAL,
)

_ASKING = frozenset(("is", "are", "was", "were", "does", "do", "did", "can", "has", "will"))


def denied_words(clauses: Sequence[Clause]) -> tuple[frozenset[str], frozenset[int]]:
    """Words that a caption only denies, and indices of names that it takes back."""
    inside: set[str] = set()
    outside: set[str] = set()
    retracted: set[int] = set()
    is_list = False
    for clause in clauses:
        words = clause.words
        parts = _split(words)
        if any(_retracts(part) for part in parts[: 2 if len(parts) > 1 else 1]):
            retracted.update(int(word[1:]) for word in outside if word[0] == "@")
            inside |= outside
            outside.clear()
            continue
        is_question = clause.end == "?" and words[0] in _ASKING
        flags = [True] * len(words) if is_list or is_question else _denied(words)
        for word, flag in zip(words, flags, strict=True):
            (inside if flag else outside).add(word)
        is_list = words[-1] == ":" and _denies_list(words[:-1])
    words_only = {word for word in inside - outside if word[0] != "@"}
    return frozenset(words_only), frozenset(retracted)


def adjectives_of_surroundings(tokens: Sequence[str]) -> frozenset[str]:
    """Adjectives of nothing but surroundings: `green grass`, `the background is plain`."""
    if SURROUNDINGS.isdisjoint(tokens):
        return frozenset()
    found: set[int] = set()
    for position, token in enumerate(tokens):
        if token in SURROUNDINGS:
            before = position - 1
            while before >= 0 and tokens[before] in ADJECTIVES:
                found.add(before)
                before -= 1
            if tokens[position + 1 : position + 2] in (["is"], ["looks"], ["appears"]):
                rest = enumerate(tokens[position : position + LONGEST], position)
                clause = takewhile(lambda pair: pair[1] not in ENDS, rest)
                found.update(index for index, token in clause if token in ADJECTIVES)
    outside = {token for position, token in enumerate(tokens) if position not in found}
    return frozenset(tokens[position] for position in found) - outside


def _split(words: Sequence[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word in (",", ":"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def _retracts(part: Sequence[str]) -> bool:
    """Whether frame words take back what was said: `nothing of this is true`."""
    if TRUTH.isdisjoint(part) or not all(map(is_frame, part)):
        return False
    return negations(part) % 2 == 1 and "following" not in part and part[-1] != "that"


def _denies_list(words: Sequence[str]) -> bool:
    """Whether what comes before a colon says that what follows is absent or untrue."""
    if list(words[:2]) == ["far", "from"]:
        return True
    after = takewhile(lambda word: not is_negation(word), reversed(words))
    is_absence = all(map(is_frame, after))  # not "Ann isn't alone: Bob is with her"
    return is_absence and negations(words) % 2 == 1 and not {"nobody", "no-one"} & {*words}


def _denied(words: Sequence[str]) -> list[bool]:
    """For each word of a clause, whether it is denied."""
    if ":" in words and _denies_list(words[: words.index(":")]):
        start = words.index(":")
        flags = [False] * start
        return flags + _resumed([True] * (len(words) - start), words[start:])
    verb = len(words)
    while verb and is_frame(words[verb - 1]):
        verb -= 1
    tail = words[verb:]
    is_verb = 0 < verb < len(words) and tail[0] not in DETERMINERS | PREPOSITIONS
    if is_verb and negations(tail) % 2 == 1 and {"without", "no"}.isdisjoint(tail):
        return [True] * verb + [False] * len(tail)
    prefix = 0
    while prefix < len(words) and is_frame(words[prefix]):
        prefix += 1
    opening = words[:prefix]
    if negations(opening) % 2 == 1 and {"no", "without", "neither", "none"}.isdisjoint(opening):
        return _resumed([True] * len(words), words)
    return _scopes(words)


def _resumed(flags: list[bool], words: Sequence[str]) -> list[bool]:
    """The flags, ended by a word after which a clause affirms again: `not grass but sand`."""
    for position, word in enumerate(words):
        if position and word in ("but", "only", "just", "instead", "rather"):
            return flags[:position] + [False] * (len(words) - position)
    return flags


SCOPE = 3
"""Content words that one negation within a clause covers: `no red mug`."""


def _scopes(words: Sequence[str]) -> list[bool]:
    """Words after a negation, up to the next phrase, and after words for what is not there."""
    flags: list[bool] = []
    remaining, is_unreal, has_article = 0, False, False
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        if is_negation(word):
            remaining, has_article = SCOPE, following in ("a", "an", "any")
        elif word in UNREAL or (word == "like" and position and words[position - 1] in SEEMING):
            is_unreal = True
        elif word in ("but", "only", "just") and words[position - 1] != "if":
            remaining, is_unreal = 0, False
        elif word in (",", "or") and remaining and "or" in words[position:]:
            remaining = SCOPE
        elif word in RESUMPTIONS or not (word[0].isalnum() or word[0] == "@"):
            is_same = word in (",", "and") and (following in ("a", "an")) == has_article
            remaining = SCOPE if remaining and is_same and word == "," and has_article else 0
        elif remaining or is_unreal:
            flags.append(True)
            remaining -= bool(remaining) and not is_frame(word)
            continue
        flags.append(is_unreal and word[0].isalnum())
    return flags

"""Words that a caption denies, lists as absent or untrue, or says of the surroundings only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from repic.captions import vocabulary as v
from repic.captions.clauses import Clause, is_frame, is_negation, is_negative

SCOPE = 3
"""Content words that one negation within a clause covers: `no red mug`."""

_TRUTH = v.TRUTH | {"made"}
_MAY_DENY = v.UNREAL | v.EXCEPTIONS | {"like", "far"}
_AGAIN = frozenset(("but", "only", "just", "instead", "rather"))
"""Words after which a denied clause affirms again: `not grass but sand`."""


def denied_words(clauses: Sequence[Clause]) -> tuple[frozenset[str], frozenset[str]]:
    """Words that a caption only denies, and names that it takes back."""
    if not any(clause.has_cue or not v.SURROUNDINGS.isdisjoint(clause.words) for clause in clauses):
        return frozenset(), frozenset()
    denied: set[str] = set()
    affirmed: set[str] = set()
    retracted: set[str] = set()
    is_list = False
    for clause in clauses:
        words = clause.words
        if clause.has_cue and _retracts(words):
            retracted.update(word for word in affirmed if word[0] == "@")
            denied |= affirmed
            affirmed.clear()
            continue
        around = () if v.SURROUNDINGS.isdisjoint(words) else _adjectives_of_surroundings(words)
        if is_list or (clause.end == "?" and words[0] in v.ASKING):
            denied.update(words)
        elif clause.has_cue or around:
            inside = {*around, *(_denied(words) if clause.has_cue else ())}
            denied.update(words[i] for i in inside)
            affirmed.update(word for i, word in enumerate(words) if i not in inside)
        else:
            affirmed.update(words)
        is_list = clause.has_cue and words[-1] == ":" and _denies_list(words[:-1])
    return frozenset(denied - affirmed), frozenset(retracted)


def _adjectives_of_surroundings(words: Sequence[str]) -> set[int]:
    """Indices of adjectives of what is around: `green grass`, `the background is plain`."""
    found: set[int] = set()
    for index in (i for i, word in enumerate(words) if word in v.SURROUNDINGS):
        before = [*takewhile(lambda i: words[i] in v.ADJECTIVES, range(index - 1, -1, -1))]
        found.update(before)
        if words[index + 1 : index + 2] in (["is"], ["looks"], ["appears"]):
            found.update(i for i in range(index, len(words)) if words[i] in v.ADJECTIVES)
    return found


def _retracts(words: Sequence[str]) -> bool:
    """Whether the first or second part is of frame words that take back what was said before.

    As `In fact, nothing of this is true`.
    """
    if _TRUTH.isdisjoint(words):
        return False
    text = " ".join(words).removeprefix("but ").replace("made up", "invented").replace(":", ",")
    return any(_takes_back(part.split()) for part in text.split(",", 2)[:2])


def _takes_back(part: Sequence[str]) -> bool:
    if v.TRUTH.isdisjoint(part) or not all(is_frame(word) or word == "above" for word in part):
        return False
    return is_negative(part) != ("lie" in part) and "following" not in part and part[-1] != "that"


def _denies_list(words: Sequence[str]) -> bool:
    """Whether what comes before a colon says that what follows is absent or untrue."""
    if [*words[:2]] == ["far", "from"]:
        return True
    after = takewhile(lambda word: not is_negation(word), reversed(words))
    is_absence = all(map(is_frame, after))  # not "Ann isn't alone: Bob is with her"
    return is_absence and is_negative(words) and {"nobody", "no-one"}.isdisjoint(words)


def _denied(words: Sequence[str]) -> range | set[int]:
    """Indices of the words of a clause that are denied."""
    if _MAY_DENY.isdisjoint(words) and not any(map(is_negation, words)):
        return set()
    count = len(words)
    colon = words.index(":") if ":" in words else count
    if colon < count and _denies_list(words[:colon]):
        return _until_again(words, colon)
    verb = count - sum(1 for _ in takewhile(is_frame, reversed(words)))
    tail = words[verb:]
    is_verb = 0 < verb < count and tail[0] not in v.DETERMINERS | v.PREPOSITIONS
    if is_verb and is_negative(tail) and {"without", "no"}.isdisjoint(tail):
        return range(verb)
    opening = [*takewhile(is_frame, words)]
    if is_negative(opening) and {"no", "without", "neither", "none"}.isdisjoint(opening):
        return _until_again(words, 0)
    return _in_scope(words)


def _until_again(words: Sequence[str], start: int) -> range:
    ends = (i for i in range(max(start, 1), len(words)) if words[i] in _AGAIN)
    return range(start, next(ends, len(words)))


def _in_scope(words: Sequence[str]) -> set[int]:
    """Words after a negation, up to the next phrase, and after words for what is not there."""
    found: set[int] = set()
    remaining, is_unreal, has_article = 0, False, False
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        if is_negation(word):
            remaining, has_article = SCOPE, following in ("a", "an", "any")
        elif word in v.UNREAL or (word == "like" and index and words[index - 1] in v.SEEMING):
            is_unreal = True
        elif word in ("but", "only", "just") and words[index - 1] != "if":
            remaining, is_unreal = 0, False
        elif word in (",", "or") and remaining and "or" in words[index:]:
            remaining = SCOPE
        elif word in v.PREPOSITIONS and words[index - 1] == "not":
            continue  # "not on a carpet"
        elif word in v.RESUMPTIONS or not (word[0].isalnum() or word[0] == "@"):
            is_same = word == "," and has_article and following in ("a", "an")
            remaining = SCOPE if remaining and is_same else 0
        elif remaining or is_unreal:
            found.add(index)
            remaining -= bool(remaining) and not is_frame(word)
            continue
        if is_unreal and word[0].isalnum():
            found.add(index)
    return found

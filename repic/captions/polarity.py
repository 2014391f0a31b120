"""What a caption affirms, denies, doubts or merely mentions: names and words.

A caption is split into clauses at marks that end one. Of a name three things are read: the words
before it, back to the first that is not a frame word; the predicate after it, up to a comma or a
conjunction; and the mark that ends the clause. Frame words are a closed class: auxiliaries,
pronouns, determiners, prepositions, words for seeing and being seen, and for the picture.

- A predicate of frame words only is about presence ("is not in the picture"), so negations count:
  an odd number denies the name, an even one affirms it ("is not absent").
- Any other predicate presupposes its subject, also negated or doubted: "may be waiting".
- A name without a predicate is denied or doubted by the frame words before it: "no sign of Ann".
- A name beside a word for somebody outside of the photo ("Photo by Ann", "Dear Ann"), after "if" or
  after "like" is only mentioned.

Plain English forms are read, and no others; see "Reading a caption" in docs/rewards.md. Time is
linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

from repic.captions.clauses import Clause, is_frame, is_negation, negations, split_clauses
from repic.captions.denied_words import adjectives_of_surroundings, denied_words
from repic.captions.vocabulary import (
    ADDRESSING,
    CREDITED,
    CREDITING,
    DETERMINERS,
    DOUBTING,
    DOUBTS,
    EXCEPTION_AFTER,
    EXCEPTIONS,
    FIELDS,
    FOREIGN,
    HINTS,
    JOINTS,
    LIKE,
    MODALS,
    OUTSIDE,
    PICTURE,
    PREPOSITIONS,
    SPEAKING,
    STOPS,
    SUPPOSING,
    SURROUNDINGS,
)

_SEEING = frozenset(("see", "find", "spot", "notice", "recognise", "recognize"))
_FOREIGN = re.compile("[不没沒無无]|없|아니")
"""Negations in languages whose words are not split into tokens."""


class Verdict(Enum):
    """What one mention says about a name."""

    AFFIRMED = 0
    DENIED = 1
    SET_APART = 2
    """Denied unless another mention affirms it: `unlike Ann`, `rather than Ann`."""
    DOUBTED = 3
    MENTIONED = 4
    """Not as an object of the photo, unless another mention affirms it."""


@dataclass(frozen=True)
class Polarity:
    """Indices of names that are denied, and of those claimed both ways; words that are denied.

    A name that is only mentioned is claimed both ways, too. Adjectives of the surroundings are
    among the words, since they are facts neither way.
    """

    denied: frozenset[int] = frozenset()
    hedged: frozenset[int] = frozenset()
    denied_words: frozenset[str] = frozenset()


def read_polarity(tokens: Sequence[str]) -> Polarity:
    """Read the tokens of a caption, with `@0` for its first name; without hints, all is affirmed.

    Args:
        tokens: See `repic.captions.mentions.CaptionReading.tokens`.
    """
    plain = [token.replace("\u2019", "'") for token in tokens]
    around = (
        frozenset[str]() if SURROUNDINGS.isdisjoint(plain) else adjectives_of_surroundings(plain)
    )
    text = " ".join(plain)
    if HINTS.isdisjoint(plain) and "n't" not in text and not _FOREIGN.search(text):
        return Polarity(denied_words=around)
    clauses = list(split_clauses(plain))
    verdicts: dict[int, set[Verdict]] = {}
    for clause in clauses:
        for index, verdict in _about_names(clause):
            verdicts.setdefault(index, set()).add(verdict)
    inside, retracted = denied_words(clauses)
    for index in retracted:
        verdicts[index].add(Verdict.DENIED)
    denied, hedged = set(), set()
    for index, found in verdicts.items():
        is_affirmed = Verdict.AFFIRMED in found
        if Verdict.DENIED in found or (Verdict.SET_APART in found and not is_affirmed):
            denied.add(index)
        is_both = Verdict.DENIED in found and is_affirmed
        if Verdict.DOUBTED in found or is_both or not (is_affirmed or index in denied):
            hedged.add(index)
    return Polarity(frozenset(denied), frozenset(hedged), inside | around)


def _about_names(clause: Clause) -> Iterator[tuple[int, Verdict]]:
    words = clause.words
    start = 0
    is_tags = 2 * words.count("#") >= len(words)  # "#ann #sea"
    is_foreign = not FOREIGN.isdisjoint(words) or _FOREIGN.search(" ".join(words)) is not None
    ending = words[len(words) - words[::-1].index("but") :] if "but" in words else []
    is_taken_back = negations(ending) % 2 == 1 and all(map(is_frame, ending))
    while start < len(words):
        if words[start][0] != "@":
            start += 1
            continue
        end = _group_end(words, start)
        verdict = Verdict.MENTIONED if is_tags else _verdict(clause, start, end)
        if verdict is Verdict.AFFIRMED and (is_foreign or is_taken_back):
            verdict = Verdict.DENIED
        group = words[start:end]
        if verdict is Verdict.AFFIRMED and "or" in group:
            verdict = Verdict.DOUBTED
        for word in group:
            if word[0] == "@":
                yield int(word[1:]), verdict
        start = end


def _group_end(words: Sequence[str], start: int) -> int:
    """The end of a list of names: `Ann, Bob and Cy`; in `Without Ann, Bob sits` it is after Ann."""
    end, first_comma = start + 1, 0
    while end < len(words):
        following = end
        while following < min(end + 3, len(words)) and words[following] in JOINTS:
            following += 1
        if following == end and words[end][0] != "@":
            break
        if following == len(words) or words[following][0] != "@":
            break
        if words[end] == "," and not first_comma:
            first_comma = end
        end = following + 1
    has_predicate = end < len(words) and words[end] not in STOPS
    is_fronted = start and words[0] in (*EXCEPTIONS, "without") and "," not in words[:start]
    return first_comma if first_comma and has_predicate and is_fronted else end


def _before(words: Sequence[str], start: int, end: int) -> tuple[list[str], str]:
    """Frame words right before a name, and the word that they follow: `no sign of`."""
    if start and words[start - 1] == "," and words[end : end + 1] == [","]:
        start -= 1  # an apposition: "neither of the known ones, Ann, is here"
    position = start
    while position and (is_frame(words[position - 1]) or words[position - 1] == ":"):
        word, previous = words[position - 1], words[position - 2] if position > 1 else ""
        if word == "left" or (word == "but" and previous not in EXCEPTION_AFTER["but"]):
            break
        position -= 1
    return list(words[position:start]), words[position - 1] if position else ""


def _predicate(words: Sequence[str], end: int) -> tuple[list[str], bool]:
    """Words after a name up to a comma or a conjunction, and whether another name ends them."""
    rest = words[end:]
    if rest[:1] in ([":"], ["("]):
        rest = rest[1:]
    elif rest[:1] == [","] and rest[1:2] in (["who"], ["which"]):
        rest = rest[2:]
    elif rest[:1] == [","] and len(rest) > 1 and is_negation(rest[1]):
        rest = rest[1:]
    predicate: list[str] = []
    for word in rest:
        if word in STOPS or word[0] == "@":
            return predicate, word[0] == "@"
        predicate.append(word)
    return predicate, False


def _verdict(clause: Clause, start: int, end: int) -> Verdict:
    """What a clause says about the names from `start` to `end`."""
    words = clause.words
    before, stop = _before(words, start, end)
    predicate, is_cut = _predicate(words, end)
    is_first = start - len(before) <= 1
    is_addressed = is_first and (stop in ADDRESSING or before[:1] == ["dear"])
    if is_addressed or _is_outside(before, stop, predicate) or _is_label(words, start, end):
        return Verdict.MENTIONED
    if predicate[:1] == ["s"]:
        is_plain = not negations(before) and (DOUBTS | DOUBTING).isdisjoint(before)
        return Verdict.AFFIRMED if is_plain else Verdict.MENTIONED
    is_presence = bool(predicate) and not is_cut and all(map(is_frame, predicate))
    is_subject = bool(predicate) and predicate[0] not in PREPOSITIONS and words[end] not in "(:"
    if is_subject and not is_presence:
        return _of_subject(before, predicate, clause)
    if clause.end == "?" and words[end:] == ["("]:
        return Verdict.DOUBTED
    if clause.end == "?" and stop == "":
        if clause.answer is None:
            return Verdict.MENTIONED
        return Verdict.DENIED if clause.answer else Verdict.AFFIRMED
    if predicate[:1] == ["from"] and negations(before) % 2:
        return Verdict.MENTIONED  # "not seen from behind"
    after = [word for word in words[end : end + 3] if word not in (",", "(", "and")]
    is_open = after[:1] == ["or"] and after[1:2] != ["just"]
    if is_open or after[:2] == ["if", "not"] or not DOUBTS.isdisjoint(after[:1]):
        return Verdict.DOUBTED
    if before == ["unlike"] and stop in ("", ","):
        others = [*words[: start - 1], *words[end:]]
        if negations(others) % 2 and any(word[0] == "@" for word in others):
            return Verdict.AFFIRMED  # "Bob has no hat, unlike Ann"
    return _of_presence(before, predicate if is_presence else [], stop)


def _is_label(words: Sequence[str], start: int, end: int) -> bool:
    """Whether names only fill a field or end an address: `Tags: Ann`, `see you, Ann`."""
    if start < 2 or end < len(words):
        return False
    before = words[: start - 1]
    if words[start - 1] == ",":
        return "you" in before
    is_field = not all(is_frame(word) or word in FIELDS for word in before)
    return words[start - 1] == ":" and (is_field or PICTURE.issuperset(before))


def _is_outside(before: Sequence[str], stop: str, predicate: Sequence[str]) -> bool:
    """Whether a name is of somebody who need not be in the photo."""
    link = next((word for word in reversed(before) if word not in DETERMINERS), "")
    index = len(before) - 1 - before[::-1].index(link) if link else 0
    previous = before[index - 1] if index else stop
    if stop in OUTSIDE or link in LIKE or stop in LIKE:
        return True
    if link in CREDITING and (previous in CREDITED or previous in PICTURE or not previous):
        return not (link == "from" and previous in PICTURE) or not predicate
    content = next((word for word in predicate if not is_frame(word)), "")
    return content in SPEAKING or (predicate[:1] == ["s"] and content in OUTSIDE)


def _of_subject(before: Sequence[str], predicate: Sequence[str], clause: Clause) -> Verdict:
    """The verdict on the subject of a predicate that is not only about presence."""
    rest = list(predicate)
    while rest and (rest[0] in MODALS or rest[0] in ("be", "well", "not", "is", *DOUBTS)):
        rest.pop(0)
    is_doubted = not MODALS.isdisjoint(predicate[:1]) or not DOUBTS.isdisjoint(predicate[:3])
    if is_doubted and rest[:1] and rest[0] in DETERMINERS:
        return Verdict.DOUBTED  # "may be the red mug"
    if not SUPPOSING.isdisjoint(before) or predicate[0] == "would":
        return Verdict.MENTIONED
    is_question = before and before[-1].endswith("n't") and clause.end in "?!"
    is_inverted = before[:1] == ["never"] and len(before) > 1
    if is_question or is_inverted or "neither" in before:
        return Verdict.AFFIRMED
    return _of_presence([word for word in before if word not in DOUBTS], [], "")


def _of_presence(before: Sequence[str], predicate: Sequence[str], stop: str) -> Verdict:
    """The verdict of frame words around a name."""
    said = [*before, *predicate]
    if not SUPPOSING.isdisjoint(before):
        return Verdict.MENTIONED
    after = [*takewhile(lambda word: word not in MODALS, reversed(before))]
    is_modal = len(after) < len(before) and _SEEING.isdisjoint(after)
    is_modal |= not MODALS.isdisjoint(predicate) and not ("could" in predicate and negations(said))
    if "doubt" in said and negations(said) % 2:
        return Verdict.AFFIRMED
    if is_modal or not (DOUBTS.isdisjoint(said) and DOUBTING.isdisjoint(said)):
        return Verdict.DOUBTED
    if negations(said) % 2 == 0 or (before[:1] == ["nothing"] and stop.isalnum()):
        return Verdict.AFFIRMED
    is_apart = not EXCEPTIONS.isdisjoint(before) or (stop == "," and before[:1] == ["not"])
    is_fronted = stop == "" and before[:1] == ["without"] and not predicate
    return Verdict.SET_APART if is_apart or is_fronted else Verdict.DENIED

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

from repic.captions.vocabulary import (
    ABSENT,
    ADDRESSING,
    ADJECTIVES,
    CREDITED,
    CREDITING,
    DETERMINERS,
    DOUBTING,
    DOUBTS,
    EXCEPTION_AFTER,
    EXCEPTIONS,
    FIELDS,
    FOREIGN,
    FRAME,
    HINTS,
    JOINTS,
    LIKE,
    MODALS,
    NEGATIONS,
    OUTSIDE,
    PICTURE,
    PREPOSITIONS,
    RESUMPTIONS,
    SEEMING,
    SPEAKING,
    STOPS,
    SUPPOSING,
    SURROUNDINGS,
    TRUTH,
    UNREAL,
)

_ENDS = frozenset(".!?;\n\u3002\uff01\uff1f")
"""Marks that end a clause."""

_SEEING = frozenset(("see", "find", "spot", "notice", "recognise", "recognize"))
_ASKING = frozenset(("is", "are", "was", "were", "does", "do", "did", "can", "has", "will"))
_FOREIGN = re.compile("[不没沒無无]|없|아니")
"""Negations in languages whose words are not split into tokens."""

_LONGEST = 100
"""Words after which a clause is cut, so that time is linear in the text."""


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


@dataclass(frozen=True)
class _Clause:
    words: list[str]
    end: str
    answer: int | None
    """Parity of the negations in a next clause of frame words only, as in "Ann? No."."""


def read_polarity(tokens: Sequence[str]) -> Polarity:
    """Read the tokens of a caption, with `@0` for its first name; without hints, all is affirmed.

    Args:
        tokens: See `repic.captions.mentions.CaptionReading.tokens`.
    """
    plain = [token.replace("\u2019", "'") for token in tokens]
    around = frozenset[str]() if SURROUNDINGS.isdisjoint(plain) else _around(plain)
    text = " ".join(plain)
    if HINTS.isdisjoint(plain) and "n't" not in text and not _FOREIGN.search(text):
        return Polarity(denied_words=around)
    clauses = list(_clauses(plain))
    verdicts: dict[int, set[Verdict]] = {}
    for clause in clauses:
        for index, verdict in _about_names(clause):
            verdicts.setdefault(index, set()).add(verdict)
    inside, retracted = _denied_words(clauses)
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


def _clauses(tokens: Sequence[str]) -> Iterator[_Clause]:
    parts: list[tuple[list[str], str]] = []
    words: list[str] = []
    for token in (*tokens, "."):
        if token not in _ENDS:
            words.append(token)
        if token in _ENDS or len(words) == _LONGEST:
            if words:
                parts.append((words, token))
            words = []
    for (words, end), (reply, _) in zip(parts, [*parts[1:], ([], "")], strict=False):
        is_reply = bool(reply) and all(_is_frame(word) or word == "," for word in reply)
        yield _Clause(words, end, _negations(reply) % 2 if is_reply else None)


def is_negation(word: str) -> bool:
    """Whether the word turns what is said around: `not`, `isn't`, `absent`."""
    return word in NEGATIONS or word in ABSENT or word.endswith("n't")


def _is_frame(word: str) -> bool:
    return word in FRAME or is_negation(word)


def _negations(words: Sequence[str]) -> int:
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


def _about_names(clause: _Clause) -> Iterator[tuple[int, Verdict]]:
    words = clause.words
    start = 0
    is_tags = 2 * words.count("#") >= len(words)  # "#ann #sea"
    is_foreign = not FOREIGN.isdisjoint(words) or _FOREIGN.search(" ".join(words)) is not None
    ending = words[len(words) - words[::-1].index("but") :] if "but" in words else []
    is_taken_back = _negations(ending) % 2 == 1 and all(map(_is_frame, ending))
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
    while position and (_is_frame(words[position - 1]) or words[position - 1] == ":"):
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


def _verdict(clause: _Clause, start: int, end: int) -> Verdict:
    """What a clause says about the names from `start` to `end`."""
    words = clause.words
    before, stop = _before(words, start, end)
    predicate, is_cut = _predicate(words, end)
    is_first = start - len(before) <= 1
    is_addressed = is_first and (stop in ADDRESSING or before[:1] == ["dear"])
    if is_addressed or _is_outside(before, stop, predicate) or _is_label(words, start, end):
        return Verdict.MENTIONED
    if predicate[:1] == ["s"]:
        is_plain = not _negations(before) and (DOUBTS | DOUBTING).isdisjoint(before)
        return Verdict.AFFIRMED if is_plain else Verdict.MENTIONED
    is_presence = bool(predicate) and not is_cut and all(map(_is_frame, predicate))
    is_subject = bool(predicate) and predicate[0] not in PREPOSITIONS and words[end] not in "(:"
    if is_subject and not is_presence:
        return _of_subject(before, predicate, clause)
    if clause.end == "?" and words[end:] == ["("]:
        return Verdict.DOUBTED
    if clause.end == "?" and stop == "":
        if clause.answer is None:
            return Verdict.MENTIONED
        return Verdict.DENIED if clause.answer else Verdict.AFFIRMED
    if predicate[:1] == ["from"] and _negations(before) % 2:
        return Verdict.MENTIONED  # "not seen from behind"
    after = [word for word in words[end : end + 3] if word not in (",", "(", "and")]
    is_open = after[:1] == ["or"] and after[1:2] != ["just"]
    if is_open or after[:2] == ["if", "not"] or not DOUBTS.isdisjoint(after[:1]):
        return Verdict.DOUBTED
    if before == ["unlike"] and stop in ("", ","):
        others = [*words[: start - 1], *words[end:]]
        if _negations(others) % 2 and any(word[0] == "@" for word in others):
            return Verdict.AFFIRMED  # "Bob has no hat, unlike Ann"
    return _of_presence(before, predicate if is_presence else [], stop)


def _is_label(words: Sequence[str], start: int, end: int) -> bool:
    """Whether names only fill a field or end an address: `Tags: Ann`, `see you, Ann`."""
    if start < 2 or end < len(words):
        return False
    before = words[: start - 1]
    if words[start - 1] == ",":
        return "you" in before
    is_field = not all(_is_frame(word) or word in FIELDS for word in before)
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
    content = next((word for word in predicate if not _is_frame(word)), "")
    return content in SPEAKING or (predicate[:1] == ["s"] and content in OUTSIDE)


def _of_subject(before: Sequence[str], predicate: Sequence[str], clause: _Clause) -> Verdict:
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
    is_modal |= not MODALS.isdisjoint(predicate) and not ("could" in predicate and _negations(said))
    if "doubt" in said and _negations(said) % 2:
        return Verdict.AFFIRMED
    if is_modal or not (DOUBTS.isdisjoint(said) and DOUBTING.isdisjoint(said)):
        return Verdict.DOUBTED
    if _negations(said) % 2 == 0 or (before[:1] == ["nothing"] and stop.isalnum()):
        return Verdict.AFFIRMED
    is_apart = not EXCEPTIONS.isdisjoint(before) or (stop == "," and before[:1] == ["not"])
    is_fronted = stop == "" and before[:1] == ["without"] and not predicate
    return Verdict.SET_APART if is_apart or is_fronted else Verdict.DENIED


def _denied_words(clauses: Sequence[_Clause]) -> tuple[frozenset[str], frozenset[int]]:
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


def _around(tokens: Sequence[str]) -> frozenset[str]:
    """Adjectives of nothing but surroundings: `green grass`, `the background is plain`."""
    found: set[int] = set()
    for position, token in enumerate(tokens):
        if token in SURROUNDINGS:
            before = position - 1
            while before >= 0 and tokens[before] in ADJECTIVES:
                found.add(before)
                before -= 1
            if tokens[position + 1 : position + 2] in (["is"], ["looks"], ["appears"]):
                rest = enumerate(tokens[position : position + _LONGEST], position)
                clause = takewhile(lambda pair: pair[1] not in _ENDS, rest)
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
    if TRUTH.isdisjoint(part) or not all(map(_is_frame, part)):
        return False
    return _negations(part) % 2 == 1 and "following" not in part and part[-1] != "that"


def _denies_list(words: Sequence[str]) -> bool:
    """Whether what comes before a colon says that what follows is absent or untrue."""
    if list(words[:2]) == ["far", "from"]:
        return True
    after = takewhile(lambda word: not is_negation(word), reversed(words))
    is_absence = all(map(_is_frame, after))  # not "Ann isn't alone: Bob is with her"
    return is_absence and _negations(words) % 2 == 1 and not {"nobody", "no-one"} & {*words}


def _denied(words: Sequence[str]) -> list[bool]:
    """For each word of a clause, whether it is denied."""
    if ":" in words and _denies_list(words[: words.index(":")]):
        start = words.index(":")
        flags = [False] * start
        return flags + _resumed([True] * (len(words) - start), words[start:])
    verb = len(words)
    while verb and _is_frame(words[verb - 1]):
        verb -= 1
    tail = words[verb:]
    is_verb = 0 < verb < len(words) and tail[0] not in DETERMINERS | PREPOSITIONS
    if is_verb and _negations(tail) % 2 == 1 and {"without", "no"}.isdisjoint(tail):
        return [True] * verb + [False] * len(tail)
    prefix = 0
    while prefix < len(words) and _is_frame(words[prefix]):
        prefix += 1
    opening = words[:prefix]
    if _negations(opening) % 2 == 1 and {"no", "without", "neither", "none"}.isdisjoint(opening):
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
            remaining -= bool(remaining) and not _is_frame(word)
            continue
        flags.append(is_unreal and word[0].isalnum())
    return flags

"""What a caption affirms, denies, doubts or merely mentions.

Only clauses with a cue are read. Of a name three things count: the frame words right before it, the
predicate after it, and the mark that ends the clause. Plain English forms are read, and no others:
the rules are under "Reading a caption" in docs/rewards.md. Time is linear in the text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import dropwhile, takewhile

from repic.captions import vocabulary as v
from repic.captions.clauses import (
    Clause,
    is_foreign_negation,
    is_frame,
    is_negation,
    is_negative,
    split_clauses,
)
from repic.captions.denied_words import denied_words

MANY = 200
"""Mentions of names from which none is read: no caption of a photo says names so often."""


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

    denied: frozenset[int]
    hedged: frozenset[int]
    denied_words: frozenset[str]


def read_polarity(tokens: Sequence[str]) -> Polarity:
    """Read the tokens of a caption; see `repic.captions.mentions.CaptionReading.tokens`.

    Of more than `MANY` mentions each name is claimed both ways, which bounds the time.
    """
    mentioned = [token for token in tokens if token[0] == "@"]
    if len(mentioned) > MANY:
        return Polarity(frozenset(), frozenset(int(name[1:]) for name in {*mentioned}), frozenset())
    clauses = split_clauses(tokens)
    verdicts: dict[str, set[Verdict]] = defaultdict(set)
    words, retracted = denied_words(clauses)
    for clause, following in zip(clauses, [*clauses[1:], None], strict=False):
        if clause.has_cue:
            for name, verdict in _about_names(clause, following):
                verdicts[name].add(verdict)
        else:
            for name in clause.words:
                if name[0] == "@":
                    verdicts[name].add(Verdict.AFFIRMED)
    for name in retracted:
        verdicts[name].add(Verdict.DENIED)
    denied, hedged = set(), set()
    for name, found in verdicts.items():
        index, is_affirmed = int(name[1:]), Verdict.AFFIRMED in found
        if Verdict.DENIED in found or (Verdict.SET_APART in found and not is_affirmed):
            denied.add(index)
        is_both = Verdict.DENIED in found and is_affirmed
        if Verdict.DOUBTED in found or is_both or not (is_affirmed or index in denied):
            hedged.add(index)
    return Polarity(frozenset(denied), frozenset(hedged), words)


@dataclass(frozen=True, slots=True)
class _Mention:
    """Names of a clause that are said together, from `start` to `end`.

    Attributes:
        before: Frame words right before them; `stop` is the word that these follow.
        predicate: Words after them up to a mark, a conjunction or, if `is_cut`, another name.
        reply: The next clause, if it is of frame words only.
    """

    clause: Clause
    start: int
    end: int
    before: list[str]
    stop: str
    predicate: list[str]
    is_cut: bool
    reply: Clause | None


def _about_names(clause: Clause, following: Clause | None) -> Iterator[tuple[str, Verdict]]:
    words = clause.words
    is_foreign = any(map(is_foreign_negation, words))
    ending = words[len(words) - words[::-1].index("but") :] if "but" in words else []
    is_taken_back = is_foreign or (is_negative(ending) and all(map(is_frame, ending)))
    is_tags = 2 * words.count("#") >= len(words)  # "#ann #sea"
    end = 0
    for start, word in enumerate(words):
        if start < end or word[0] != "@":
            continue
        end = _group_end(words, start)
        verdict = Verdict.MENTIONED
        if not is_tags:
            verdict = _verdict(_mention(clause, start, end, following))
        if verdict is Verdict.AFFIRMED and is_taken_back:
            verdict = Verdict.DENIED
        if verdict is Verdict.AFFIRMED and "or" in words[start:end]:
            verdict = Verdict.DOUBTED
        yield from ((name, verdict) for name in words[start:end] if name[0] == "@")


def _group_end(words: Sequence[str], start: int) -> int:
    """The end of a list of names: `Ann, Bob and Cy`; in `Without Ann, Bob sits` it is after Ann."""
    end = position = start + 1
    is_fronted = words[0] in (*v.EXCEPTIONS, "without") and "," not in words[:start]
    while position < len(words) and position < end + 3 and words[position] in v.JOINTS:
        position += 1
        if words[position : position + 1] and words[position][0] == "@":
            end = position = position + 1
    has_predicate = end < len(words) and words[end] not in v.STOPS
    if is_fronted and has_predicate and "," in words[start:end]:
        return words.index(",", start)
    return end


def _mention(clause: Clause, start: int, end: int, following: Clause | None) -> _Mention:
    words = clause.words
    # an apposition: "neither of the known ones, Ann, is here"
    last = start - (words[start - 1 : start] == [","] == words[end : end + 1])
    frame = takewhile(lambda word: is_frame(word) or word == ":", reversed(words[:last]))
    first = last - len([*frame])
    rest = _after_aside(words[end:])
    if rest[:2] in ([",", "who"], [",", "which"]):
        rest = rest[2:]
    elif rest[:1] in ([":"], ["("]) or (rest[:1] == [","] and any(map(is_negation, rest[1:2]))):
        rest = rest[1:]
    predicate = [*takewhile(lambda word: word not in v.STOPS and word[0] != "@", rest)]
    is_cut = len(predicate) < len(rest) and rest[len(predicate)][0] == "@"
    stop = words[first - 1] if first else ""
    is_reply = following and all(is_frame(word) or word == "," for word in following.words)
    reply = following if is_reply else None
    return _Mention(clause, start, end, words[first:last], stop, predicate, is_cut, reply)


def _after_aside(rest: list[str]) -> list[str]:
    """What follows a name, without an aside before words about presence: `, a dog, is missing`."""
    after = rest[rest.index(",", 1) + 1 :] if rest[:1] == [","] and "," in rest[1:] else []
    predicate = [*takewhile(lambda word: word not in v.STOPS, after)]
    is_verb = bool(predicate) and (predicate[0] in v.ASKING or predicate[0].endswith("n't"))
    return after if is_verb and all(map(is_frame, predicate)) else rest


def _verdict(mention: _Mention) -> Verdict:
    words, before, stop = mention.clause.words, mention.before, mention.stop
    predicate, after = mention.predicate, words[mention.end :]
    if _is_outside(mention) or _is_label(mention):
        return Verdict.MENTIONED
    if predicate[:1] == ["'s"]:
        is_plain = not is_negative(before) and (v.DOUBTS | v.DOUBTING).isdisjoint(before)
        return Verdict.AFFIRMED if is_plain else Verdict.MENTIONED
    is_presence = bool(predicate) and not mention.is_cut and all(map(is_frame, predicate))
    is_asked = mention.clause.end == "?" and words[0] in v.ASKING
    is_subject = not is_presence and predicate and not {predicate[0], after[0]} & _NO_VERBS
    if is_subject and not is_asked:
        return _of_subject(mention)
    if mention.clause.end == "?" and after == ["("]:
        return Verdict.DOUBTED
    if is_asked or (mention.clause.end == "?" and stop == ""):
        if mention.reply is None:
            return Verdict.MENTIONED
        return Verdict.DENIED if is_negative(mention.reply.words) else Verdict.AFFIRMED
    if predicate[:1] == ["from"] and is_negative(before):
        return Verdict.MENTIONED  # "not seen from behind"
    after = [word for word in after[:3] if word not in (",", "(", "and")]
    is_open = after[:1] == ["or"] and after[1:2] != ["just"]
    if is_open or after[:2] == ["if", "not"] or not v.DOUBTS.isdisjoint(after[:1]):
        return Verdict.DOUBTED
    if before == ["unlike"] and stop in ("", ","):
        others = [*words[: mention.start - 1], *words[mention.end :]]
        if is_negative(others) and any(word[0] == "@" for word in others):
            return Verdict.AFFIRMED  # "Bob has no hat, unlike Ann"
    return _of_presence(before, predicate if is_presence else [], stop)


_NO_VERBS = v.PREPOSITIONS | {"(", ":"}
"""What follows a name without making it a subject."""


def _is_label(mention: _Mention) -> bool:
    """Whether names only fill a field or end an address: `Tags: Ann`, `see you, Ann`."""
    words, start = mention.clause.words, mention.start
    if start < 2 or mention.end < len(words):
        return False
    before = words[: start - 1]
    if words[start - 1] == ",":
        return "you" in before
    is_field = not all(is_frame(word) or word in v.FIELDS for word in before)
    return words[start - 1] == ":" and (is_field or v.PICTURE.issuperset(before))


def _is_outside(mention: _Mention) -> bool:
    """Whether a name is of somebody who need not be in the photo."""
    before, stop, predicate = mention.before, mention.stop, mention.predicate
    if mention.start - len(before) <= 1 and (stop in v.ADDRESSING or before[:1] == ["dear"]):
        return True
    links = [word for word in before if word not in v.DETERMINERS]
    previous, link = [stop, *links][-2:] if links else (stop, "")
    is_verb = bool(predicate) and predicate[0] not in _NO_VERBS
    is_seeming = is_verb and mention.clause.words[0] == "it"  # "it looks like Ann is waiting"
    if stop in v.OUTSIDE or not (is_seeming or v.LIKE.isdisjoint((stop, link))):
        return True
    if link in v.CREDITING and (previous in v.CREDITED | v.PICTURE or not previous):
        return not (link == "from" and previous in v.PICTURE) or not predicate
    content = next((word for word in predicate if not is_frame(word)), "")
    if content in v.SPEAKING and "been" not in predicate:
        return v.COPULAS.isdisjoint(predicate)  # not "is captured in motion"
    return predicate[:1] == ["'s"] and content in v.OUTSIDE


def _of_subject(mention: _Mention) -> Verdict:
    """The verdict on the subject of a predicate that is not only about presence."""
    before, predicate = mention.before, mention.predicate
    rest = [*dropwhile(_PREVERBAL.__contains__, predicate)]
    is_doubted = predicate[0] in v.MODALS or not v.DOUBTS.isdisjoint(predicate[:3])
    if is_doubted and rest and rest[0] in v.DETERMINERS:
        return Verdict.DOUBTED  # "may be the red mug"
    if not v.SUPPOSING.isdisjoint(before) or predicate[0] == "would":
        return Verdict.MENTIONED
    is_question = before and before[-1].endswith("n't") and mention.clause.end in "?!"
    is_inverted = before[:1] == ["never"] and len(before) > 1
    if is_question or is_inverted or "neither" in before:
        return Verdict.AFFIRMED
    return _of_presence([word for word in before if word not in v.DOUBTS], [], "")


_PREVERBAL = v.MODALS | v.DOUBTS | {"be", "well", "not", "is"}
"""What may stand between a subject and what it may be."""


def _of_presence(before: Sequence[str], predicate: Sequence[str], stop: str) -> Verdict:
    """The verdict of frame words around a name."""
    said = [*before, *predicate]
    is_denied = is_negative(said)
    if not v.SUPPOSING.isdisjoint(before):
        return Verdict.MENTIONED
    after = [*takewhile(lambda word: word not in v.MODALS, reversed(before))]
    is_modal = len(after) < len(before) and v.SEEING.isdisjoint(after)
    is_modal |= not v.MODALS.isdisjoint(predicate) and not ("could" in predicate and is_denied)
    if "doubt" in said and is_denied:
        return Verdict.AFFIRMED
    if is_modal or not (v.DOUBTS | v.DOUBTING).isdisjoint(said):
        return Verdict.DOUBTED
    if not is_denied or (before[:1] == ["nothing"] and stop.isalnum()):
        return Verdict.AFFIRMED
    is_apart = not v.EXCEPTIONS.isdisjoint(before) or (stop == "," and before[:1] == ["not"])
    is_fronted = stop == "" and before[:1] == ["without"] and not predicate
    return Verdict.SET_APART if is_apart or is_fronted else Verdict.DENIED

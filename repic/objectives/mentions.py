"""Who is named in a caption, and how much it says beside the names.

A name counts at token boundaries, alone or as `<Name>`, whatever its case; a possessive, a French
elision and a Korean particle may be attached, and Chinese text has no spaces to bound it. A mention
that is negated ("Ann is not in the picture", "without Ann") names nobody. Time is linear in the
text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

HAN = "\u3040-\u30ff\u3400-\u9fff"
HANGUL = "\uac00-\ud7a3"
# Combining marks and zero-width characters belong to the word, so that they cannot hide in a name.
_EXTRA = "\u0300-\u036f\u200b-\u200f\u2060\ufeff"
_RUN = rf"(?:[^\W{HAN}{HANGUL}]|[{_EXTRA}])+"
_WORD = rf"[{HAN}]+|[{HANGUL}]+|{_RUN}(?:['\u2019-]{_RUN})*"
_ITEM = re.compile(rf"<([^<>\n]{{1,60}})>|({_WORD})|([,.!?;:\n\u3002\uff0c\uff01\uff1f])")
_APOSTROPHE = re.compile("['\u2019]")
_ENGLISH_ENDINGS = frozenset(("s", "ll", "d", "re", "ve"))
_FRENCH_ELISIONS = frozenset(("d", "l", "qu"))
_PARTICLES = re.compile(
    "(?:이|씨|님|양|군)?(?:가|는|은|을|를|의|와|과|도|만|에게|한테|께|께서|랑|이랑|하고|까지|부터|로|으로|"
    "에|에서|처럼|보다|야|아|여|라고|이다|이고|이며|네|들)?"
)

_NAMES = r"@\d+(?: (?:(?:,|and|or|nor|&) ){0,2}@\d+){0,8}"
_SEE = r"(?:see|find|spot|recogni[sz]e|identify|show|contain|include|feature|depict|have|notice)"
_NOT = (
    r"(?:not|never|cannot|can't|don't|doesn't|didn't|couldn't|isn't|aren't|wasn't|weren't|hasn't)"
)
_FRAME = r"(?:picture|photo|photograph|image|scene|frame|shot|view|it)\b"
_NEGATED = re.compile(
    r"(?:\b(?:no|not|without|neither|nor|except|excluding|unlike|lacks?|lacking|isn't|aren't|wasn't|"
    r"(?:instead|absence|sign|trace|glimpse) of|rather than|other than)"
    rf"|\b{_NOT} {_SEE}(?: any(?: of)?)?) (?P<before>{_NAMES})"
    rf"|(?P<after>{_NAMES}) (?:"
    rf"(?:(?:is|are|was|were|does|do|did|has|have|can|could) )?{_NOT}(?: \w+){{0,2}} "
    rf"(?:here|present|visible|shown|seen|pictured|depicted|appear|appears|included|there|"
    rf"(?:in|of|among|on) (?:\w+ ){{0,2}}{_FRAME})"
    r"|(?:is|are|was|were|seems?|remains?) (?:\w+ )?(?:absent|missing|nowhere|elsewhere))"
)
_HINT = re.compile(
    r"\b(?:no|not|never|cannot|without|neither|nor|except|excluding|unlike|lack|lacks|lacking|absent|"
    r"absence|missing|nowhere|elsewhere|than|instead|sign|trace|glimpse)\b|n['\u2019]t\b",
    re.IGNORECASE,
)
MAX_MARKS = 30
GRAM = 4
"""Words in a row that count as copied when the prompt has them in a row as well."""


@dataclass(frozen=True)
class Reading:
    """What a caption says.

    Attributes:
        named: Names that it uses of something in the picture, in the order of first use.
        negated: Names that it says are not there.
        strangers: Tags `<...>` that hold none of the names.
        words: Distinct words, casefolded, that are no names or tags; each Han character is one.
        length: How many words there are, repeated ones too.
        new_words: Those of `words` that are not in a passage copied from the prompt.
    """

    named: tuple[str, ...]
    negated: tuple[str, ...]
    strangers: tuple[str, ...]
    words: frozenset[str]
    length: int
    new_words: frozenset[str]


def read(text: str, names: Sequence[str], prompt: str = "") -> Reading:
    """Read a caption.

    Args:
        text: The caption; the caller limits its length.
        names: Names of the references, without brackets; none is another's prefix.
        prompt: Text that the caption may have copied from.
    """
    text = composed(text)
    known = {unicodedata.normalize("NFC", name).casefold(): name for name in names}
    places = {name: place for place, name in enumerate(known.values())}
    said: list[str] = []
    mentioned: dict[str, None] = {}
    strangers: dict[str, None] = {}
    words: list[str] = []
    for tag, word, mark in _ITEM.findall(text):
        if mark:
            said.append(mark)
            continue
        found = _named_by((tag or word).strip().casefold(), known)
        if tag and (len(found) != 1 or tag.strip().casefold() not in known):
            strangers[tag] = None
            said.append("<>")
        elif found:
            mentioned.update(dict.fromkeys(found))
            said += [f"@{places[name]}" for name in found]
            if word and _is_han(
                word
            ):  # the name stands in a run without spaces; the rest are words
                for name in found:
                    word = word.replace(name, "")
                words += word
        else:
            folded = word.casefold()
            said.append(folded)
            words += list(folded) if _is_han(folded) else [folded]
    negated = _negated(said, list(known.values())) if mentioned and _HINT.search(text) else set()
    copied = _copied(words, _grams(prompt)) if prompt else frozenset()
    return Reading(
        tuple(name for name in mentioned if name not in negated),
        tuple(name for name in mentioned if name in negated),
        tuple(strangers),
        frozenset(words),
        len(words),
        frozenset(words) if not copied else frozenset(w for w in words if w not in copied),
    )


def composed(text: str) -> str:
    """The text in NFC, or as it is where over 30 combining marks stand in a row.

    No language needs more (UAX #15, stream-safe text), and composing them takes quadratic time.
    """
    if text.isascii():
        return text
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > MAX_MARKS:
            return text
    return unicodedata.normalize("NFC", text)


def plain_words(text: str) -> list[str]:
    """Words of a text in order, casefolded; tags are left out, each Han character is a word."""
    found: list[str] = []
    for _, word, _ in _ITEM.findall(composed(text).casefold()):
        if word:
            found += list(word) if _is_han(word) else [word]
    return found


def _is_han(word: str) -> bool:
    return "\u3040" <= word[0] <= "\u30ff" or "\u3400" <= word[0] <= "\u9fff"


def _named_by(word: str, known: dict[str, str]) -> list[str]:
    """Names that a casefolded token mentions: usually none or one."""
    if word in known:
        return [known[word]]
    if word.isascii() and "'" not in word:
        return []
    parts = _APOSTROPHE.split(word)
    if len(parts) == 2:
        first, last = parts
        if first in known and last in _ENGLISH_ENDINGS:
            return [known[first]]
        if last in known and first in _FRENCH_ELISIONS:
            return [known[last]]
    if "\uac00" <= word[0] <= "\ud7a3":
        return [
            name
            for key, name in known.items()
            if word.startswith(key) and _PARTICLES.fullmatch(word, len(key))
        ]
    if _is_han(word):
        return [name for key, name in known.items() if _is_han(key) and key in word]
    return []


def _negated(said: Sequence[str], names: Sequence[str]) -> set[str]:
    """Names that some clause negates; a contradiction counts as a negation."""
    found: set[str] = set()
    clauses = re.split(r"[.!?;:\n\u3002\uff01\uff1f]", " ".join(said).replace("\u2019", "'"))
    for clause in clauses:
        for match in _NEGATED.finditer(clause):
            listed = match["before"] or match["after"]
            found.update(names[int(place)] for place in re.findall(r"@(\d+)", listed))
    return found


@lru_cache(maxsize=4096)
def _grams(text: str) -> frozenset[tuple[str, ...]]:
    words = plain_words(text)
    return frozenset(tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1))


def _copied(words: Sequence[str], grams: Collection[tuple[str, ...]]) -> frozenset[str]:
    """Words that stand only in passages copied from the prompt."""
    inside = bytearray(len(words))
    for start in range(len(words) - GRAM + 1):
        if tuple(words[start : start + GRAM]) in grams:
            inside[start : start + GRAM] = b"\1" * GRAM
    own = {word for word, flag in zip(words, inside, strict=True) if not flag}
    return frozenset(word for word, flag in zip(words, inside, strict=True) if flag) - own

"""Names that a caption mentions, and its other words.

A name counts at token boundaries, alone or as `<Name>`, in any case. A possessive, a French elision
or a Korean particle may be attached; Chinese and Japanese text needs no spaces. A negated mention
("Ann is not in the picture", "without Ann") does not count. A mention that is hedged ("maybe Ann",
"Ann or Bob"), contradicted, or spelled to resemble a name claims both ways, so a reward counts it
as wrong whether or not the object is present. Time is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import eq

from repic.captions.polarity import read_polarity
from repic.captions.tokens import TOKEN, compose, is_han, plain_words

_QUOTED = re.compile(r"^[ \t]*> ", re.MULTILINE)
"""A Markdown quotation mark, which is not a broken tag."""

_APOSTROPHE = re.compile("['\u2019]")
_ENGLISH_ENDINGS = frozenset(("s", "ll", "d", "re", "ve"))
_FRENCH_ELISIONS = frozenset(("d", "l", "qu"))
_PARTICLES = re.compile(
    "(?:이|씨|님|양|군)?(?:가|는|은|을|를|의|와|과|도|만|에게|한테|께|께서|랑|이랑|하고|까지|부터|로|으로|"
    "에|에서|처럼|보다|야|아|여|라고|이다|이고|이며|입니다|이에요|예요|네|들)?"
)

_MARKS = frozenset(",.!?;:()\n")
# `TOKEN` for ASCII text, without groups: `findall` then gives plain strings, which is faster.
_PLAIN = re.compile(r"<[^<>\n]{1,60}>|\w+(?:['-]\w+)*|[,.!?;:()\n]", re.ASCII)
_ENDS_SENTENCE = frozenset(".!?;:\n\u3002\uff01\uff1f")
GRAM = 4
"""Consecutive words that count as copied if the prompt has the same sequence."""

_LONGEST_LOOK_ALIKE = 200

RUN = 6
"""Consecutive words that count as repetition; true captions repeat shorter sequences, such as
"with white dots and a"."""

FREE_REPETITION = 0.2
"""Repetition, as a share of the tokens, that costs nothing."""

# Letters of other scripts that look like Latin ones (a part of Unicode's confusables.txt).
_LOOK_ALIKES = str.maketrans(
    "абвгеёзіјкмнорстухуѕԁһⅼαβγεηικνορτυχϲ", "abbreeзijkmhopctyxysdhlabyenikvoptuxc"
)


@dataclass(frozen=True)
class CaptionReading:
    """The names and words of a caption.

    Attributes:
        named: Names that it affirms, in the order of first use.
        negated: Names that it negates at least once.
        hedged: Names that it claims both ways: with a hedge, as alternatives, or affirmed once and
            negated once. They are not in `named`.
        false_names: Tags `<...>` that hold none of the names, look-alikes of a name, broken tags.
        words: Distinct casefolded words without names and tags; each Han character is a word.
        word_count: Number of words, repeated ones included.
        new_words: Those of `words` that are not only in passages copied from the prompt.
        affirmed_words: Those of `words` that are not only negated, as in "no clouds".
        tokens: All tokens in order: `@0` for the first name, marks, casefolded words.
        repetition: Share of the tokens, 0 to 1, that repeat the word before, or a sentence or a run
            of `RUN` words of the caption, or a run of `GRAM` words of the request.
    """

    named: tuple[str, ...]
    negated: tuple[str, ...]
    hedged: tuple[str, ...]
    false_names: tuple[str, ...]
    words: frozenset[str]
    word_count: int
    new_words: frozenset[str]
    affirmed_words: frozenset[str]
    tokens: tuple[str, ...]
    repetition: float


def read_caption(
    text: str, names: Sequence[str], prompt: str = "", request: str = "", names_only: bool = False
) -> CaptionReading:
    """Read a caption.

    Args:
        text: The caption; the caller limits its length.
        names: Names of the references, without brackets; none is a prefix of another.
        prompt: Text that the caption may copy from.
        request: The last part of the prompt, the request itself; repeating it is repetition.
        names_only: Skip the search for repetition, which is slow: `repetition` is then 0.
    """
    text = compose(text)
    # Lower case instead of casefold, which would read a long s, a ligature or a sharp s as letters.
    spellings = {unicodedata.normalize("NFC", name).lower(): name for name in names}
    placeholders = {name: f"@{index}" for index, name in enumerate(spellings.values())}
    is_ascii = text.isascii()
    tokens: list[str] = []
    mentioned: dict[str, None] = {}
    false_names: dict[str, None] = {}
    words: list[str] = []
    tags = 0

    def take(tag: str, word: str) -> None:
        """Add a tag, or a word that is not purely alphanumeric or may be a name."""
        nonlocal tags
        tags += bool(tag)
        token = (tag or word).casefold()
        lower = token if is_ascii else (tag or word).lower()
        mentions = _names_in(lower.strip(" ") if tag else lower.strip("_") or lower, spellings)
        if tag and (len(mentions) != 1 or lower.strip(" ") not in spellings):
            false_names[tag] = None
            tokens.append("<>")
        elif mentions:
            mentioned.update(dict.fromkeys(mentions))
            tokens.extend(placeholders[name] for name in mentions)
            if word and is_han(word):  # a run without spaces: the rest of it are words
                for name in mentions:
                    word = word.replace(name, "")
                words.extend(word)
        else:
            is_latin = is_ascii or token.isascii()
            if (not is_latin or "-" in token) and _is_look_alike(lower, spellings):
                false_names[token] = None
            tokens.append(token)
            words.extend(token if not is_latin and is_han(token) else (token,))

    if is_ascii:
        start, lowered = 0, _PLAIN.findall(text.lower())
        items = _PLAIN.findall(text) if "<" in text else lowered
        special = {
            token
            for token in {*lowered}
            if token[0] == "<"
            or (not token.isalnum() and token not in _MARKS)
            or token in spellings
        }
        for index in [i for i, t in enumerate(lowered) if t in special] if special else ():
            tokens += lowered[start:index]
            words += [token for token in lowered[start:index] if token not in _MARKS]
            item, start = items[index], index + 1
            take(item[1:-1], "") if item[0] == "<" else take("", item)
        tokens += lowered[start:]
        words += [token for token in lowered[start:] if token not in _MARKS]
    else:
        for tag, word, mark in TOKEN.findall(text):
            lower = word.lower()
            if mark:
                tokens.append(mark)
            elif word.isascii() and word.isalnum() and lower not in spellings:
                tokens.append(lower)
                words.append(lower)
            else:
                take(tag, word)
    false_names.update(dict.fromkeys(_glued_names(text, spellings)))
    if text.count("<") != tags or text.count(">") - len(_QUOTED.findall(text)) != tags:
        false_names["<"] = None
    polarity = read_polarity(tokens)
    ordered = list(spellings.values())
    negated = {ordered[index] for index in polarity.denied}
    hedged = {ordered[index] for index in polarity.hedged}
    copied = _copied_words(words, _grams(prompt)) if prompt else frozenset()
    distinct = frozenset(words)
    return CaptionReading(
        tuple(n for n in mentioned if n not in negated and n not in hedged),
        tuple(name for name in mentioned if name in negated),
        tuple(name for name in mentioned if name in hedged),
        tuple(false_names),
        distinct,
        len(words),
        distinct - copied if copied else distinct,
        distinct - polarity.denied_words,
        tuple(tokens),
        0.0 if names_only else _repetition(tokens, _grams(request) if request else ()),
    )


def _names_in(word: str, spellings: dict[str, str]) -> Sequence[str]:
    """Names that a lower-case token mentions: usually none or one."""
    if word in spellings:
        return (spellings[word],)
    if word.isascii() and "'" not in word:
        return ()
    parts = _APOSTROPHE.split(word)
    if len(parts) == 2:
        first, last = parts
        if first in spellings and last in _ENGLISH_ENDINGS:
            return (spellings[first],)
        if last in spellings and first in _FRENCH_ELISIONS:
            return (spellings[last],)
    if "\uac00" <= word[0] <= "\ud7a3":
        return [
            name
            for key, name in spellings.items()
            if word.startswith(key) and _PARTICLES.fullmatch(word, len(key))
        ]
    if is_han(word):
        return [name for key, name in spellings.items() if is_han(key) and key in word]
    return ()


def _is_look_alike(token: str, spellings: Collection[str]) -> bool:
    """Whether a token that is not a name looks like one, or like `N-a-m-e`."""
    if len(token) > _LONGEST_LOOK_ALIKE:
        return False
    letters = unicodedata.normalize("NFKC", token).casefold()
    letters = "".join(
        c
        for c in letters
        # zero-width characters, and marks that strike through or enclose a letter
        if c != "-"
        and unicodedata.category(c) not in ("Cf", "Me")
        and not "\u0334" <= c <= "\u0338"
    )
    return letters in spellings or letters.translate(_LOOK_ALIKES) in spellings


_ENTITY = re.compile(r"&(?:lt|gt|shy|zwn?j|#[0-9]{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)
_JOINTS = re.compile(r"[@/\\=&]")


def _glued_names(text: str, spellings: Collection[str]) -> list[str]:
    """Names in addresses (`ann@x.org`, `x.org/Ann`), and escaped letters or brackets.

    Also Han and Hangul names that touch Latin letters or a combining mark, so that they do not end
    at a boundary.
    """
    glued: list[str] = []
    if _JOINTS.search(text):
        alternatives = "|".join(map(re.escape, spellings))
        if alternatives:
            joined = rf"[@/\\=]<?(?:{alternatives})(?!\w)|(?<!\w)(?:{alternatives})>?[@/\\=]"
            glued += re.findall(joined, text, re.IGNORECASE)
        glued += _ENTITY.findall(text)
    touched = [name for name in spellings if name[0] >= "\u3040" and _touches(text, name)]
    if names := "|".join(map(re.escape, touched)):
        glued += re.findall(
            rf"[A-Za-z0-9_](?:{names})|(?:{names})[A-Za-z0-9_\u0300-\u036f\u200b-\u200f\u20d0-\u20ff]",
            text,
        )
    return glued


def _touches(text: str, name: str) -> bool:
    """Whether the name touches a character that is not a space, a bracket or a mark.

    A fast check before the exact pattern.
    """
    name, other = re.escape(name), r"[^ <>(),.!?\n]"
    return re.search(f"{name}{other}|{other}{name}", text) is not None


@lru_cache(maxsize=4096)
def _grams(text: str) -> frozenset[tuple[str, ...]]:
    words = plain_words(text)
    return frozenset(zip(*(words[i:] for i in range(GRAM)), strict=False))


def _copied_words(words: Sequence[str], grams: Collection[tuple[str, ...]]) -> frozenset[str]:
    """Words that occur only in passages copied from the prompt."""
    runs = zip(*(words[i:] for i in range(GRAM)), strict=False)
    starts = [start for start, run in enumerate(runs) if run in grams]
    if not starts:
        return frozenset()
    inside = bytearray(len(words))
    for start in starts:
        inside[start : start + GRAM] = b"\1" * GRAM
    outside = {word for word, flag in zip(words, inside, strict=True) if not flag}
    return frozenset(word for word, flag in zip(words, inside, strict=True) if flag) - outside


def _repeated_sentences(tokens: Sequence[str]) -> int:
    """Number of tokens in repeated sentences of three tokens or more."""
    if _ENDS_SENTENCE.isdisjoint(tokens[:-1]):
        return 0
    seen: set[tuple[str, ...]] = set()
    count = 0
    for is_end, group in groupby(tokens, key=_ENDS_SENTENCE.__contains__):
        sentence = tuple(group)
        if is_end or len(sentence) < 3:
            continue
        count += len(sentence) if sentence in seen else 0
        seen.add(sentence)
    return count


def _repetition(tokens: Sequence[str], request: Collection[tuple[str, ...]]) -> float:
    words = [token for token in tokens if token[0] == "@" or token[0].isalnum()]
    if len(words) < 2:
        return 0.0
    stammers = sum(map(eq, words, words[1:]))
    runs = list(zip(*(words[i:] for i in range(RUN)), strict=False))
    share = (len(runs) - len(set(runs))) / max(1, len(runs)) + 2 * stammers / len(words)
    share = max(share, _repeated_sentences(tokens) / len(words))
    if request:
        copied = list(zip(*(words[i:] for i in range(GRAM)), strict=False))
        share += sum(run in request for run in copied) / max(1, len(copied))
    return min(1.0, share)

"""Names that a caption mentions, and its other words.

A name counts at token boundaries, alone, as `<Name>` or as `@Name`, in any case, with or without
its accents. A possessive, a French elision or a Korean particle may be attached; Chinese and
Japanese text needs no spaces, and there the longest name counts. A name that is a word of grammar,
such as `No` or `May`, counts in a tag, or with a capital letter if it cannot deny.

Whether a mention affirms is read by `repic.captions.polarity`. A mention that is hedged,
contradicted or spelled to resemble a name claims both ways, so a reward counts it as wrong whether
or not the object is present. Time is linear in the text.
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
from repic.captions.vocabulary import ELEMENTS, FRAME, JOINTS, NEGATIONS, PREPOSITIONS

_APOSTROPHE = re.compile("['\u2019]")
_ENGLISH_ENDINGS = frozenset(("s", "ll", "d", "re", "ve"))
_FRENCH_ELISIONS = frozenset(("d", "l", "qu"))
_PARTICLES = re.compile(
    "(?:이|씨|님|양|군)?(?:가|는|은|을|를|의|와|과|도|만|에게|한테|께|께서|랑|이랑|하고|까지|부터|로|으로|"
    "에|에서|처럼|보다|야|아|여|라고|이다|이고|이며|입니다|이에요|예요|네|들)?"
)

_IN_TAG = frozenset(("name", "the", "figure", "object", "person", "called", "label", "s"))
"""Words that a tag may hold beside a name: `<Name: Ann>`, `<Ann's>`."""

_TAG = re.compile(r"<[^<>\n]{1,60}>")
_STRAY = re.compile(r"<(?=[^\W\d]|[<>!/])|(?<=[\w>])>")
"""A bracket that touches a word, or another one; `<3`, `3 > 2` and `->` are none."""

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


class _Names:
    """The names of a row, by their spellings in lower case."""

    def __init__(self, names: Sequence[str]) -> None:
        # Lower case instead of casefold, which would read a long s, a ligature or a sharp s as
        # letters.
        self.exact = {unicodedata.normalize("NFC", name).lower(): name for name in names}
        self.tokens = {name: f"@{index}" for index, name in enumerate(self.exact.values())}
        plain = {_without_accents(key): name for key, name in self.exact.items()}
        self.spellings = {**plain, **self.exact} if len(plain) == len(self.exact) else self.exact
        self.longest_first = sorted(self.spellings, key=len, reverse=True)
        self.grammatical = self.spellings.keys() & (FRAME | JOINTS | PREPOSITIONS | NEGATIONS)

    def in_tag(self, content: str) -> str | None:
        """The name that the lower-case content of a tag stands for."""
        if content in self.spellings:
            return self.spellings[content]
        words = re.findall(r"[^\W_]+", content)
        found = [self.spellings[word] for word in words if word in self.spellings]
        is_plain = content[:1].isalnum() or content[:1] == "@"
        others = {word for word in words if word not in self.spellings}
        if len(found) == 1 and is_plain and content[-1].isalnum() and others <= _IN_TAG:
            return found.pop()
        return None

    def in_word(self, word: str, lower: str) -> Sequence[str]:
        """Names that a token outside of tags mentions: usually none or one."""
        if lower in self.spellings:
            is_capital = word[0] != lower[0] and lower not in NEGATIONS | JOINTS
            return (self.spellings[lower],) if lower not in self.grammatical or is_capital else ()
        if lower.isascii() and "'" not in lower:
            return ()
        parts = _APOSTROPHE.split(lower)
        if len(parts) == 2:
            first, last = parts
            if first in self.spellings and last in _ENGLISH_ENDINGS:
                return (self.spellings[first],)
            if last in self.spellings and first in _FRENCH_ELISIONS:
                return (self.spellings[last],)
        if "\uac00" <= lower[0] <= "\ud7a3":
            matches = (key for key in self.longest_first if lower.startswith(key))
            ends = [key for key in matches if _PARTICLES.fullmatch(lower, len(key))]
            return [self.spellings[key] for key in ends[:1]]
        return self._in_run(lower) if is_han(lower) else ()

    def _in_run(self, run: str) -> Sequence[str]:
        found = []
        for key in self.longest_first:
            if is_han(key) and key in run:
                found.append(self.spellings[key])
                run = run.replace(key, " ")
        return found


def _without_accents(text: str) -> str:
    if text.isascii() or not text[0].isalpha() or text[0] > "\u024f":
        return text
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


@lru_cache(maxsize=1024)
def _names_of(names: tuple[str, ...]) -> _Names:
    return _Names(names)


class _CaptionTokens:
    """Reads the tokens of one caption in order."""

    def __init__(self, names: _Names) -> None:
        self.names = names
        self.tokens: list[str] = []
        self.words: list[str] = []
        self.mentioned: dict[str, None] = {}
        self.false_names: dict[str, None] = {}

    def read(self, text: str) -> None:
        spellings, tokens, words = self.names.spellings, self.tokens, self.words
        for tag, word, mark in TOKEN.findall(text):
            if mark:
                tokens.append(mark[0])
            elif word.isascii() and word.isalnum() and (lower := word.lower()) not in spellings:
                tokens.append(lower)
                words.append(lower)
            elif word:
                self._take_word(word)
            else:
                self._take_tag(tag)
        rest = _TAG.sub("", text) if "<" in text else text
        if ("<" in rest or ">" in rest) and _STRAY.search(rest):
            self.false_names["<"] = None

    def _take_tag(self, tag: str) -> None:
        content = tag.strip(" ").lower()
        if (name := self.names.in_tag(content)) is not None:
            self.mentioned[name] = None
            self.tokens.append(self.names.tokens[name])
            if content.endswith(("'s", "\u2019s")):
                self.tokens.append("s")
        elif content.strip("/ ") not in ELEMENTS and not content[:1].isdigit():
            self.false_names[tag] = None
            self.tokens.append("<>")

    def _take_word(self, word: str) -> None:
        lower = word.lower()
        mentions = self.names.in_word(word.strip("_") or word, lower.strip("_") or lower)
        if mentions:
            self.mentioned.update(dict.fromkeys(mentions))
            self.tokens.extend(self.names.tokens[name] for name in mentions)
            if is_han(word):  # a run without spaces: the rest of it are words
                for name in mentions:
                    word = word.replace(name, "")
                self.words.extend(word)
            elif lower.endswith(("'s", "\u2019s")):
                self.tokens.append("s")
            return
        token = word.casefold()
        if (not token.isascii() or "-" in token) and self._is_look_alike(lower):
            self.false_names[token] = None
        self.tokens.append(token)
        self.words.extend(token if is_han(token) else (token,))

    def _is_look_alike(self, token: str) -> bool:
        """Whether a token that is not a name looks like one, or like `N-a-m-e`."""
        if len(token) > _LONGEST_LOOK_ALIKE:
            return False
        letters = "".join(
            c
            for c in unicodedata.normalize("NFKC", token).casefold()
            # zero-width characters, and marks that strike through or enclose a letter
            if c != "-"
            and unicodedata.category(c) not in ("Cf", "Me")
            and not "\u0334" <= c <= "\u0338"
        )
        spellings = self.names.exact
        return letters in spellings or letters.translate(_LOOK_ALIKES) in spellings


def read_caption(
    text: str, names: Sequence[str], prompt: str = "", request: str = "", names_only: bool = False
) -> CaptionReading:
    """Read a caption.

    Args:
        text: The caption; the caller limits its length.
        names: Names of the references, without brackets.
        prompt: Text that the caption may copy from.
        request: The last part of the prompt, the request itself; repeating it is repetition.
        names_only: Skip the search for repetition, which is slow: `repetition` is then 0.
    """
    text = _ESCAPED.sub(r"\1", compose(text)).replace("\u2019", "'")
    reader = _CaptionTokens(_names_of(tuple(names)))
    reader.read(text)
    tokens, words, mentioned = reader.tokens, reader.words, reader.mentioned
    spellings = reader.names.exact
    reader.false_names.update(dict.fromkeys(_glued_names(text, spellings)))
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
        tuple(reader.false_names),
        distinct,
        len(words),
        distinct - copied if copied else distinct,
        distinct - polarity.denied_words,
        tuple(tokens),
        0.0 if names_only else _repetition(tokens, _grams(request) if request else ()),
    )


_ESCAPED = re.compile(r"\\([<>])")
"""A bracket as Markdown escapes it."""

_ENTITY = re.compile(r"&(?:lt|gt|shy|zwn?j|#[0-9]{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)
_JOINED = re.compile(r"\w@\w|[=\\]|\w\.\w+/|://|/\w+/|/(?:some|any|another|other|else)")


def _glued_names(text: str, spellings: Collection[str]) -> list[str]:
    """Names in addresses (`ann@x.org`, `x.org/Ann`), and escaped letters or brackets.

    Also Han and Hangul names that touch Latin letters or a combining mark, so that they do not end
    at a boundary.
    """
    glued: list[str] = _ENTITY.findall(text) if "&" in text else []
    for chunk in text.lower().split() if _JOINED.search(text) else ():
        if _JOINED.search(chunk) and any(name in chunk for name in spellings):
            words = re.findall(r"\w+", chunk)
            glued += [chunk] if any(name in words for name in spellings) else []
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
    runs = list(zip(*(words[i:] for i in range(RUN)), strict=False))
    share = (len(runs) - len(set(runs))) / max(1, len(runs))
    share += 2 * sum(map(eq, tokens, tokens[1:])) / len(words) + _filler(words)
    share = max(share, _repeated_sentences(tokens) / len(words))
    if request:
        copied = list(zip(*(words[i:] for i in range(GRAM)), strict=False))
        share += sum(run in request for run in copied) / max(1, len(copied))
    return min(1.0, share)


def _filler(words: Sequence[str]) -> float:
    """1 if every second word is one of a few, as in `a really red so mug really`."""
    half = len(words) // 2
    return float(half >= 6 and min(len({*words[::2]}), len({*words[1::2]})) <= half / 3)

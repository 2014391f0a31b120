"""The names of a row, as a caption may spell them.

A name counts at token boundaries, alone, as `<Name>` or as `@Name`, in any case, with or without
its accents. A possessive, a French elision or a Korean particle may be attached; Chinese and
Japanese text needs no spaces, and there the longest name counts. A name that is a word of grammar,
such as `No` or `May`, counts in a tag, or with a capital letter if it cannot deny.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache

from repic.captions.tokens import is_han, normal
from repic.captions.vocabulary import FRAME, IN_TAG, JOINTS, NEGATIONS, PREPOSITIONS

_ATTACHED = ("{}'s", "{}'ll", "{}'d", "{}'re", "{}'ve", "d'{}", "l'{}", "qu'{}")
_PARTICLES = re.compile(
    "(?:이|씨|님|양|군)?(?:가|는|은|을|를|의|와|과|도|만|에게|한테|께|께서|랑|이랑|하고|까지|부터|로|으로|"
    "에|에서|처럼|보다|야|아|여|라고|이다|이고|이며|입니다|이에요|예요|네|들)?"
)
_NO_NAMES = NEGATIONS | JOINTS
_GRAMMATICAL = FRAME | PREPOSITIONS | _NO_NAMES
_LONGEST_LOOK_ALIKE = 200
# Letters of other scripts that look like Latin ones (a part of Unicode's confusables.txt).
_LOOK_ALIKES = str.maketrans(
    "абвгеёзіјкмнорстухуѕԁһⅼαβγεηικνορτυχϲ", "abbreeзijkmhopctyxysdhlabyenikvoptuxc"
)
_ENTITY = re.compile(r"&(?:lt|gt|shy|zwn?j|#[0-9]{1,7}|#x[0-9a-f]{1,6});", re.IGNORECASE)
_LATIN, _UNSPACED = "A-Za-z0-9_", "\u3040-\U0010ffff"
_TOUCHING = rf"{_LATIN}\u0300-\u036f\u200b-\u200f\u20d0-\u20ff"
_MEETING = re.compile(f"[{_LATIN}][{_UNSPACED}]|[{_UNSPACED}][{_TOUCHING}]")
"""Where a name of a script without spaces, or with particles, can touch other letters or a mark."""

_JOINED = re.compile(r"\w@\w|[=\\]|\w\.\w+/|://|/\w+/|/(?:some|any|another|other|else)")


class Names:
    """The names of a row, by their spellings in lower case."""

    def __init__(self, names: Sequence[str]) -> None:
        # Lower case instead of casefold, which would read a long s, a ligature or a sharp s as
        # letters.
        self.exact = {normal(name).lower(): name for name in names}
        self.tokens = {name: f"@{index}" for index, name in enumerate(self.exact.values())}
        plain = {_without_accents(key): name for key, name in self.exact.items()}
        self.spellings = {**plain, **self.exact} if len(plain) == len(self.exact) else self.exact
        self._unspaced = sorted((k for k in self.spellings if k[0] >= "\u3040"), key=len)[::-1]

    # Few captions need these two, and most rows have names of their own.
    @cached_property
    def forms(self) -> dict[str, str]:
        """The spellings, also with what may be attached to a name."""
        attached = {form.format(k): n for k, n in self.spellings.items() for form in _ATTACHED}
        return {**attached, **self.spellings}

    @cached_property
    def _touching(self) -> re.Pattern[str]:
        either = "|".join(map(re.escape, self._unspaced)) or "(?!)"
        return re.compile(rf"[{_LATIN}](?:{either})|(?:{either})[{_TOUCHING}]")

    def in_tag(self, content: str) -> str | None:
        """The name that the lower-case content of a tag stands for: `Ann`, `Name: Ann`, `Ann's`."""
        if content in self.spellings:
            return self.spellings[content]
        words = re.findall(r"[^\W_]+", content)
        found = [self.spellings[word] for word in words if word in self.spellings]
        is_plain = (content[:1].isalnum() or content[:1] == "@") and content[-1].isalnum()
        others = {word for word in words if word not in self.spellings}
        return found.pop() if len(found) == 1 and is_plain and others <= IN_TAG else None

    def in_word(self, word: str) -> Sequence[str]:
        """Names that a token outside of tags mentions: usually none or one."""
        lower = word.lower()
        if lower in self.forms:
            is_small = word[0] == lower[0]
            is_grammar = lower in _GRAMMATICAL and (is_small or lower in _NO_NAMES)
            return () if is_grammar else (self.forms[lower],)
        if not self._unspaced or word.isascii():
            return ()
        if is_han(word):
            return [*self._in_run(lower)]
        matches = (key for key in self._unspaced if lower.startswith(key))
        ends = (key for key in matches if _PARTICLES.fullmatch(lower, len(key)))
        return [self.spellings[key] for key in ends][:1]

    def _in_run(self, run: str) -> Iterator[str]:
        for key in self._unspaced:
            if key in run and is_han(key):
                yield self.spellings[key]
                run = run.replace(key, " ")

    def is_look_alike(self, token: str) -> bool:
        """Whether a token that is not a name looks like one, or like `N-a-m-e`."""
        if len(token) > _LONGEST_LOOK_ALIKE or (token.isascii() and "-" not in token):
            return False
        letters = "".join(
            c
            for c in unicodedata.normalize("NFKC", token).casefold()
            # zero-width characters, and marks that strike through or enclose a letter
            if c != "-"
            and unicodedata.category(c) not in ("Cf", "Me")
            and not "\u0334" <= c <= "\u0338"
        )
        return letters in self.exact or letters.translate(_LOOK_ALIKES) in self.exact

    def glued(self, text: str) -> list[str]:
        """Names in addresses (`ann@x.org`, `x.org/Ann`), and escaped letters or brackets.

        Also names in Han or Hangul that touch Latin letters or a combining mark, so that they do
        not end at a boundary.
        """
        found: list[str] = _ENTITY.findall(text) if "&" in text else []
        for chunk in text.lower().split() if any(mark in text for mark in "@/=\\") else ():
            words = re.findall(r"\w+", chunk) if _JOINED.search(chunk) else ()
            found += () if self.exact.keys().isdisjoint(words) else (chunk,)
        if text.isascii() or not (self._unspaced and self._may_touch(text)):
            return found
        return found + self._touching.findall(text)

    def _may_touch(self, text: str) -> bool:
        """False if no name can touch letters or a mark: checked without a pattern of the names."""
        return any(key[-1] < "\u3040" for key in self._unspaced) or bool(_MEETING.search(text))


def _without_accents(text: str) -> str:
    if text.isascii() or not text[0].isalpha() or text[0] > "\u024f":
        return text
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


@lru_cache(maxsize=1024)
def names_of(names: tuple[str, ...]) -> Names:
    """The names of a row, kept for its other captions."""
    return Names(names)

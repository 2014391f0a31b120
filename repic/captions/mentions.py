"""Names that a caption mentions, and its other words.

How a name may be written is in `repic.captions.names`; whether a mention affirms is read by
`repic.captions.polarity`. A mention that is hedged, contradicted or spelled to resemble a name
claims both ways, so a reward counts it as wrong whether or not the object is present. Time is
linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from repic.captions.lists import listed_twice
from repic.captions.names import Names, names_of
from repic.captions.polarity import read_polarity
from repic.captions.repetition import copied_words, grams_of, repetition
from repic.captions.tokens import TOKEN, is_han, normal, simple
from repic.captions.vocabulary import ELEMENTS

_TAG = re.compile(r"<[^<>\n]{1,60}>")
_STRAY = re.compile(r"<(?=[^\W\d]|[<>!/])|(?<=[\w>])>")
"""A bracket that touches a word, or another one; `<3`, `3 > 2` and `->` are none."""

_ESCAPED = re.compile(r"\\([<>])")
"""A bracket as Markdown escapes it."""


@dataclass(frozen=True)
class CaptionReading:
    """The names and words of a caption.

    Attributes:
        named: Names that it affirms, in the order of first use.
        negated: Names that it negates at least once.
        hedged: Names that it claims both ways: with a hedge, as alternatives, or affirmed once and
            negated once. They are not in `named`.
        listed_twice: Names that a list has again, as in `<Ann> and <Ann>`, once for each time.
        false_names: Tags `<...>` that hold none of the names, look-alikes of a name, broken tags.
        words: Distinct casefolded words without names and tags; each Han character is a word.
        word_count: Number of words, repeated ones included.
        new_words: Those of `words` that are not only in passages copied from the prompt.
        affirmed_words: Those of `words` that are not only negated, as in "no clouds".
        tokens: All tokens in order: `@0` for the first name, `'s` after one, marks, casefolded
            words.
        repetition: Share of the tokens, 0 to 1, that repeat the word before, or a sentence or a run
            of `RUN` words of the caption, or a run of `GRAM` words of the request.
    """

    named: tuple[str, ...]
    negated: tuple[str, ...]
    hedged: tuple[str, ...]
    listed_twice: tuple[str, ...]
    false_names: tuple[str, ...]
    words: frozenset[str]
    word_count: int
    new_words: frozenset[str]
    affirmed_words: frozenset[str]
    tokens: tuple[str, ...]
    repetition: float


class _Tokens:
    """Reads the tokens of one caption in order."""

    def __init__(self, text: str, names: Names) -> None:
        self.names, self.has_han = names, is_han(text)
        self.tokens: list[str] = []
        self.mentioned: dict[str, None] = {}
        self.false_names: dict[str, None] = {}
        self.beside: list[str] = []
        """Han characters that touch a name."""
        append, spellings = self.tokens.append, names.spellings  # looked up once, for speed
        for raw in TOKEN.findall(text):
            token = simple(raw)
            if token and token not in spellings:
                append(token)
            elif raw[0] == "<":
                self._take_tag(raw[1:-1])
            else:
                self._take_word(raw)
        rest = _TAG.sub("", text) if "<" in text else text
        if ("<" in rest or ">" in rest) and _STRAY.search(rest):
            self.false_names["<"] = None
        self.false_names.update(dict.fromkeys(names.glued(text)))

    def words(self, said: Sequence[str]) -> list[str]:
        """Words without names, each Han character by itself."""
        words = [token for token in said if token[0] != "@"]
        if self.has_han:
            words = [part for word in words for part in (word if is_han(word) else (word,))]
        return words + self.beside

    def _take_tag(self, tag: str) -> None:
        content = tag.strip(" ").lower()
        if (name := self.names.in_tag(content)) is not None:
            self._mention((name,), content)
        elif content.strip("/ ") not in ELEMENTS and not content[:1].isdigit():
            self.false_names[tag] = None
            self.tokens.append("<>")

    def _take_word(self, word: str) -> None:
        if names := self.names.in_word(word.strip("_") or word):
            self._mention(names, word.lower())
            if is_han(word):
                for name in names:
                    word = word.replace(name, "")
                self.beside.extend(word)
            return
        token = word.casefold()
        if self.names.is_look_alike(token):
            self.false_names[token] = None
        self.tokens.append(token)

    def _mention(self, names: Sequence[str], written: str) -> None:
        self.mentioned.update(dict.fromkeys(names))
        self.tokens.extend(self.names.tokens[name] for name in names)
        if written.endswith("'s"):
            self.tokens.append("'s")


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
    reader = _Tokens(_ESCAPED.sub(r"\1", normal(text)), names_of(tuple(names)))
    tokens, mentioned = reader.tokens, reader.mentioned
    said = [token for token in tokens if token[0].isalnum() or token[0] == "@"]
    words = reader.words(said)
    polarity = read_polarity(tokens)
    ordered = list(reader.names.exact.values())
    negated = {ordered[index] for index in polarity.denied}
    hedged = {ordered[index] for index in polarity.hedged}
    distinct = frozenset(words)
    copied = copied_words(words, grams_of(prompt))
    return CaptionReading(
        tuple(n for n in mentioned if n not in negated and n not in hedged),
        tuple(name for name in mentioned if name in negated),
        tuple(name for name in mentioned if name in hedged),
        tuple(ordered[index] for index in listed_twice(tokens)),
        tuple(reader.false_names),
        distinct,
        len(words),
        distinct - copied if copied else distinct,
        distinct - polarity.denied_words if polarity.denied_words else distinct,
        tuple(tokens),
        0.0 if names_only else repetition(tokens, said, grams_of(request)),
    )

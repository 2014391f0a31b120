"""Reads the short answers of models: a letter of a multiple-choice question, yes or no.

A letter is read as models write it: `B`, `(b)`, `B. Grey`, `Answer: B`, `The correct option is
**B**.`, `\\boxed{B}`, or the text of one option. An answer that names several options, contradicts
itself (`A. Grey` where grey is B) or denies (`not grey`) is not read.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from repic.captions.clauses import is_negation
from repic.captions.tokens import plain_words

LONGEST = 4_000
"""Characters that are read; a longer answer is read from its end."""

FEWEST_UNKNOWN = 4
"""Options, at least, of a question whose text does not list them."""

_DECORATION = str.maketrans("", "", '*_"`$')
_BOXED = re.compile(r"\\boxed ?\{ ?(?:\\text ?\{)? ?\(?([A-Za-z])\b")
_STATED = re.compile(
    r"(?i:\b(?:answer|option|choice)(?: is| would be| should be| must be)?(?: ?:)? ?(?:option )?)"
    r"[(\['<]?([A-Z])(?![\w'])(?! (?i:or|and|nor)\b)"
)
_ALONE = re.compile(r"[(\['<]?([A-Za-z])[)\]'>]?[.):,]?")
_LEADING = re.compile(r"[(\['<]?([A-Za-z])[)\]'>]?(?:[.):,]|\n| - )")
_YES_NO = re.compile(r"[(\['<]?(yes|no)\b", re.IGNORECASE)
_LETTER = re.compile(r"(?:^|(?<=[\s(\[]))([A-Z])(?:[.):]| ?[-:] )")


def _plain(reply: str) -> str:
    """The end of an answer without decoration, with single spaces and line breaks."""
    lines = reply[-LONGEST:].translate(_DECORATION).split("\n")
    return "\n".join(line for raw in lines if (line := " ".join(raw.split())))


def choice(reply: str, options: Sequence[str]) -> int | None:
    """Index of the option that an answer chooses; None if it cannot be read.

    Args:
        options: Texts of A, B, ...; texts may be empty where only the letters are known.
    """
    text = _plain(reply)
    boxed = _BOXED.findall(text)
    if boxed:
        return _index(boxed[-1], options)
    if alone := _ALONE.fullmatch(text):
        return _index(alone[1], options)
    said = _by_text(text, options)
    if leading := _LEADING.match(text):
        index = _index(leading[1], options)
        rest = _by_text(text[leading.end() :], options)
        if index is not None:
            return index if rest in (None, index) else None
    stated = {_index(letter, options) for letter in _STATED.findall(text)}
    if stated:
        only = stated.pop()
        return only if not stated and said in (None, only) else None
    return said


def _index(letter: str, options: Sequence[str]) -> int | None:
    index = string.ascii_uppercase.index(letter.upper())
    return index if index < len(options) else None


def _by_text(text: str, options: Sequence[str]) -> int | None:
    """The one option whose words stand in the text, unless something is denied."""
    words = plain_words(text)
    own = [plain_words(option) for option in options]
    found = [index for index, option in enumerate(own) if _contains(words, option)]
    # `brown and white` contains `brown`: of nested options the longest counts.
    found = [i for i in found if not any(i != j and _contains(own[j], own[i]) for j in found)]
    if len(found) != 1:
        return None
    allowed = {*own[found[0]], "no"}
    denies = any(is_negation(word) and word not in allowed for word in words)
    return None if denies else found[0]


def _contains(words: Sequence[str], part: Sequence[str]) -> bool:
    size = len(part)
    return size > 0 and any(
        list(words[n : n + size]) == list(part) for n in range(len(words) - size + 1)
    )


def yes_or_no(reply: str) -> bool | None:
    """Whether an answer begins with yes (True) or no (False); None if with neither."""
    found = _YES_NO.match(_plain(reply[:LONGEST]))
    return None if found is None else found[1].casefold() == "yes"


def options_in(question: str) -> tuple[str, ...]:
    """The options that the text of a question lists: `... A. Red B. Blue`; empty if it lists none.

    They must be A, B, ... in this order.
    """
    marks: list[re.Match[str]] = []
    for match in _LETTER.finditer(question):
        if match[1] == string.ascii_uppercase[len(marks) :][:1]:
            marks.append(match)
    ends = [*(match.start() for match in marks[1:]), len(question)]
    texts = [
        question[match.end() : end].strip(" \n,;|([")
        for match, end in zip(marks, ends, strict=False)
    ]
    return tuple(texts) if len(texts) > 1 and all(texts) else ()


def options_for(question: str, answer: str) -> tuple[str, ...]:
    """The options that the text of a question lists, or empty texts if the right letter is not
    among them."""
    listed = options_in(question)
    right = string.ascii_uppercase.index(answer)
    return listed if right < len(listed) else ("",) * max(FEWEST_UNKNOWN, right + 1)

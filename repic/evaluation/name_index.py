"""Index of the known names of a file, which finds those that a caption may mention.

`repic.captions.mentions` reads single words and tags. Names with spaces, dots or apostrophes
("captain america", "mr.krab", "o'neil") are first rewritten as tags where they stand between word
boundaries. A file may have thousands of names: only those that may occur in a caption are searched
for, in time linear in the caption.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from repic.captions.tokens import HAN, HANGUL, MARKS, TOKEN, compose
from repic.evaluation.records import bare, folded

_APOSTROPHE = re.compile("['\u2019]")
_UNSPACED = re.compile(f"[{HAN}{HANGUL}]")
# Matches what TOKEN matches in ASCII text, where brackets are not part of words.
_PLAIN = re.compile(r"\w+(?:['-]\w+)*", re.ASCII)
_TAG = re.compile(r"<([^<>\n]{1,60})>")


class NameIndex:
    """Known names. Spelling variants count as one name: `<Thor>`, `thor`, `THOR`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._spelling: dict[str, str] = {}
        self._by_first_word: dict[str, list[str]] = {}
        self._anywhere: list[str] = []
        for name in sorted(names):
            key = folded(name)
            if key in self._spelling:
                continue
            self._spelling[key] = " ".join(bare(name).split())
            words = _words(key)
            if _UNSPACED.search(key) or not words:
                self._anywhere.append(key)
            elif _is_awkward(key):
                first = _APOSTROPHE.split(words[0])[0]
                self._by_first_word.setdefault(first, []).append(key)

    def prepare(self, caption: str, always: Iterable[str]) -> tuple[str, list[str]]:
        """The caption with awkward names tagged, and the names to search it for.

        Args:
            always: Names to search for in any case. Disguised forms are detected only for these.

        Returns:
            The text, and the names without duplicates, those of `always` first.
        """
        text = compose(caption.replace("</s>", ""))
        pieces = _pieces(text)
        keys = dict.fromkeys(folded(name) for name in always)
        keys |= dict.fromkeys(piece for piece in sorted(pieces) if piece in self._spelling)
        awkward = {key for piece in pieces for key in self._by_first_word.get(piece, ())}
        lowered = text.casefold()
        anywhere = [key for key in self._anywhere if key in lowered]
        keys |= dict.fromkeys([*sorted(awkward), *anywhere])
        awkward |= {key for key in keys if key in self._spelling and _is_awkward(key)}
        if awkward:
            text = self._tagged(text, awkward)
        return text, [self._spelling.get(key, key) for key in keys]

    def _tagged(self, text: str, keys: Iterable[str]) -> str:
        longest_first = sorted(keys, key=lambda key: (-len(key), key))
        names = "|".join(r"\s+".join(map(re.escape, key.split())) for key in longest_first)
        names = names.replace("'", "['\u2019]")
        pattern = re.compile(rf"<\s*(?:{names})\s*>|(?<!\w)(?:{names})(?!\w)", re.IGNORECASE)

        def tag(match: re.Match[str]) -> str:
            name = self._spelling.get(folded(match[0].strip("<>").strip()))
            return f"<{name}>" if name else match[0]

        return pattern.sub(tag, text)


def _is_awkward(key: str) -> bool:
    """Whether the name is not a single plain word, so that only its tag can be read."""
    return _words(key) != [key] or "'" in key


def _words(text: str) -> list[str]:
    return [token for token in TOKEN.findall(text) if token[0] not in MARKS and token[0] != "<"]


def _pieces(text: str) -> set[str]:
    """Casefolded tokens, their parts at apostrophes, and tags with the words in them."""
    if text.isascii():
        lowered = text.lower()
        pieces = set(_PLAIN.findall(lowered))
        if "'" in lowered:
            pieces.update(piece for word in [*pieces] for piece in word.split("'") if piece)
        if "<" in lowered:
            pieces.update(" ".join(tag.split()) for tag in _TAG.findall(lowered))
        return pieces
    pieces = set()
    for token in TOKEN.findall(text):
        is_tag = token[0] == "<"
        if is_tag:
            pieces.add(" ".join(token[1:-1].casefold().split()))
        for part in _words(token[1:-1] if is_tag else token):
            folded_part = part.casefold()
            pieces.add(folded_part)
            pieces.update(piece for piece in _APOSTROPHE.split(folded_part) if piece)
    return pieces

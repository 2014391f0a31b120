"""The known names of a file, and those of them that a caption may mention.

`repic.captions.mentions` reads single words and tags. Names with spaces, dots or apostrophes
("captain america", "mr.krab", "o'neil") are first written as tags where they stand between word
boundaries. A file may know thousands of names: only those that a caption could mean are read for,
in time linear in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from repic.captions.tokens import HAN, HANGUL, TOKEN, compose
from repic.evaluate.records import bare, folded

_APOSTROPHE = re.compile("['\u2019]")
_UNSPACED = re.compile(f"[{HAN}{HANGUL}]")
# What TOKEN finds in ASCII, where brackets are no part of a word.
_PLAIN = re.compile(r"\w+(?:['-]\w+)*", re.ASCII)
_TAG = re.compile(r"<([^<>\n]{1,60})>")
_OPEN = re.compile(r"<\s*|\s*>")


class Names:
    """Names that stand for one another's spelling are one: `<Thor>`, `thor`, `THOR`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._shown: dict[str, str] = {}
        self._by_first: dict[str, list[str]] = {}
        self._anywhere: list[str] = []
        for name in sorted(names):
            key = folded(name)
            if key in self._shown:
                continue
            self._shown[key] = " ".join(bare(name).split())
            words = _words(key)
            if _UNSPACED.search(key) or not words:
                self._anywhere.append(key)
            elif _is_awkward(key):
                first = _APOSTROPHE.split(words[0])[0]
                self._by_first.setdefault(first, []).append(key)

    def shown(self, name: str) -> str:
        """How a name is written here; unknown ones as they are."""
        return self._shown.get(folded(name), bare(name))

    def read_for(self, caption: str, always: Iterable[str]) -> tuple[str, list[str]]:
        """The caption with awkward names tagged, and the names to read it for.

        Args:
            always: Names to read for in any case: disguised forms are noticed for these only.

        Returns:
            The text, and names without duplicates: those of `always` first.
        """
        text = compose(caption.replace("</s>", ""))
        pieces = _pieces(text)
        keys = dict.fromkeys(folded(name) for name in always)
        keys |= dict.fromkeys(piece for piece in sorted(pieces) if piece in self._shown)
        awkward = {key for piece in pieces for key in self._by_first.get(piece, ())}
        low = text.casefold()
        anywhere = [key for key in self._anywhere if key in low]
        keys |= dict.fromkeys([*sorted(awkward), *anywhere])
        awkward |= {key for key in keys if key in self._shown and _is_awkward(key)}
        if awkward:
            text = self._tagged(text, awkward)
        return text, [self._shown.get(key, key) for key in keys]

    def _tagged(self, text: str, keys: Iterable[str]) -> str:
        longest = sorted(keys, key=lambda key: (-len(key), key))
        names = "|".join(r"\s+".join(map(re.escape, key.split())) for key in longest)
        names = names.replace("'", "['\u2019]")
        pattern = re.compile(rf"<\s*(?:{names})\s*>|(?<!\w)(?:{names})(?!\w)", re.IGNORECASE)

        def tag(match: re.Match[str]) -> str:
            shown = self._shown.get(folded(_OPEN.sub("", match[0])))
            return f"<{shown}>" if shown else match[0]

        return pattern.sub(tag, text)


def _is_awkward(key: str) -> bool:
    """Whether it is no single plain word, and so must be tagged to be read."""
    return _words(key) != [key] or "'" in key


def _words(text: str) -> list[str]:
    return [word for _, word, _ in TOKEN.findall(text) if word]


def _pieces(text: str) -> set[str]:
    """Casefolded tokens, their parts at apostrophes, and tags with the words in them."""
    if text.isascii():
        low = text.lower()
        found = set(_PLAIN.findall(low))
        if "'" in low:
            found.update(piece for word in [*found] for piece in word.split("'") if piece)
        if "<" in low:
            found.update(" ".join(tag.split()) for tag in _TAG.findall(low))
        return found
    found = set()
    for tag, word, _ in TOKEN.findall(text):
        if tag:
            found.add(" ".join(tag.casefold().split()))
        for part in _words(tag) if tag else [word]:
            folded_part = part.casefold()
            found.add(folded_part)
            found.update(piece for piece in _APOSTROPHE.split(folded_part) if piece)
    return found


def said_of(names: Sequence[str]) -> set[str]:
    """Folded forms of names."""
    return {folded(name) for name in names}

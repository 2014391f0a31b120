"""First names for references: from many locales, never a word, never mistaken for another.

A name is ordinary, and refused, when it is also a word: of the WordNet glosses and lemmas that timm
ships for ImageNet-22k (31,000 English words, categories of detectors among them), of Faker's own
word lists, or of our `ordinary_names.txt`. A caption that says "rose" or "will" must not be read as
naming anyone.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from functools import cache, lru_cache
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from repic.objectives.base import Draw

_LETTERS = re.compile(r"[^\W\d_]+")
_LOWER = re.compile(r"(?<![\w'-])[a-z]+(?![\w'])")


@lru_cache(maxsize=1 << 16)
def fold(name: str) -> str:
    """How two names are compared: case and accents do not tell them apart."""
    marks = unicodedata.normalize("NFKD", name.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in marks if not unicodedata.combining(c)))


def is_han(text: str) -> bool:
    """Whether it is written in a script without spaces between words (Han or kana)."""
    return any("\u3040" <= c <= "\u30ff" or "\u3400" <= c <= "\u9fff" for c in text)


def describe(locales: Sequence[str]) -> dict[str, object]:
    """What the pool of names is made from, for fingerprints; imports nothing heavy."""
    versions = {package: metadata.version(package) for package in ("faker", "timm")}
    return {"locales": list(locales), **versions}


@cache
def words() -> frozenset[str]:
    """Ordinary words, folded."""
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("names need timm's word lists: pip install timm", name="timm")
    folder = Path(spec.submodule_search_locations[0]) / "data" / "_info"
    ours = (resources.files("repic.objectives") / "ordinary_names.txt").read_text(encoding="utf-8")
    lines = (line for line in ours.splitlines() if not line.startswith("#"))
    found = {fold(word) for line in lines for word in line.split()}
    for name in ("imagenet_synset_to_definition.txt", "imagenet_synset_to_lemma.txt"):
        found.update(_LOWER.findall((folder / name).read_text(encoding="utf-8")))
    for locale in ("en_US", "fr_FR", "it_IT", "de_DE", "es_ES", "zh_CN", "ja_JP"):
        provider = importlib.import_module(f"faker.providers.lorem.{locale}").Provider
        found.update(fold(word) for word in provider.word_list)
    return frozenset(found)


@cache
def pool(locale: str) -> tuple[str, ...]:
    """Usable first names of a locale, sorted.

    Raises:
        ValueError: Faker has no names for this locale, or none that are left.
    """
    try:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    except ModuleNotFoundError:
        raise ValueError(
            f"Faker has no names for the locale {locale!r}; examples.names.locales takes "
            "locales such as en_US, fr_FR, it_IT, ko_KR, zh_CN"
        ) from None
    given = {unicodedata.normalize("NFC", name) for name in provider.first_names}
    usable = sorted(name for name in given if is_usable(name))
    if not usable:
        raise ValueError(f"the locale {locale!r} has no first name that is not also a word")
    return tuple(usable)


def is_usable(name: str) -> bool:
    """Whether it is one run of letters, long enough to be told apart, and not a word."""
    shortest = 2 if _is_syllabic(name) else 3
    return (
        len(name) >= shortest and _LETTERS.fullmatch(name) is not None and fold(name) not in words()
    )


def _is_syllabic(name: str) -> bool:
    return is_han(name) or any("\uac00" <= c <= "\ud7a3" for c in name)


def draw_names(
    draw: Draw, count: int, locales: Sequence[str], avoid: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """Names that cannot be mistaken for one another.

    Args:
        draw: Source of chance; the same draw gives the same names.
        avoid: Text of the example (labels, captions): none of its words becomes a name.

    Returns:
        `(name, locale)` per reference. No name is another's prefix, with case and accents put
        aside; in scripts without spaces none is contained in another.

    Raises:
        ValueError: the locales have too few names.
    """
    taken = {fold(word) for text in avoid for word in _LETTERS.findall(text)}
    chosen: list[tuple[str, str]] = []
    for _ in range(100 * count):
        if len(chosen) == count:
            return chosen
        locale = draw.pick(locales)
        name = draw.pick(pool(locale))
        if fold(name) not in taken and not _clashes(name, [other for other, _ in chosen]):
            chosen.append((name, locale))
    if len(chosen) == count:
        return chosen
    raise ValueError(f"no {count} distinct names in {', '.join(locales)}; add a locale")


def _clashes(name: str, others: Collection[str]) -> bool:
    mine = fold(name)
    for other in map(fold, others):
        if mine.startswith(other) or other.startswith(mine):
            return True
        if is_han(name) and (mine in other or other in mine):
            return True
    return False

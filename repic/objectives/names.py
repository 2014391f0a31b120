"""First names for references: from many locales, never ordinary words, and easy to distinguish.

A name is not used if it is also a word in the WordNet glosses and lemmas that timm ships for
ImageNet-22k (31,000 English words, with the categories of detectors), in Faker's word lists, or in
`ordinary_names.txt`: a caption that says "rose" or "will" must not count as naming a reference.
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

from repic.captions.tokens import is_han
from repic.errors import ConfigError

if TYPE_CHECKING:
    from repic.objectives.base import SeededRandom

FEWEST = 20
"""Names that a build needs: an example has up to eight that differ, and none of its words."""

_SUCH_AS = "locales such as en_US, fr_FR, it_IT, ko_KR, zh_CN"
_CASES = "the language has cases, which change the end of a name"
_ENDINGS = "the language writes endings onto a name"
_PREFIXES = "the language writes words such as `and` onto the beginning of a name"
_UNREAD = {
    **dict.fromkeys(("ar", "he", "zu"), _PREFIXES),
    **dict.fromkeys(("az", "et", "fi", "hu", "hy", "ka", "tr", "uz"), _ENDINGS),
    **dict.fromkeys(("gu", "ne", "or", "si", "ta"), _ENDINGS),
    **dict.fromkeys(("cs", "el", "hr", "is", "lt", "lv", "pl", "ru", "sk", "sl", "uk"), _CASES),
    "ga": "the language changes the beginning of a name",
    "th": "the language puts no spaces around a name",
}
"""Languages whose names are not read in simple sentences; `tests/objectives/test_names.py`
measures which these are."""

_LETTERS = re.compile(r"[^\W\d_]+")
_LOWER = re.compile(r"(?<![\w'-])[a-z]+(?![\w'])")


@lru_cache(maxsize=1 << 16)
def fold(name: str) -> str:
    """The name without case and accents; names that fold alike count as the same."""
    if name.isascii():
        return name.lower()
    marks = unicodedata.normalize("NFKD", name.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in marks if not unicodedata.combining(c)))


def describe(locales: Sequence[str]) -> dict[str, object]:
    """The locales and package versions that names come from, for fingerprints."""
    versions = {package: metadata.version(package) for package in ("faker", "timm")}
    return {"locales": list(locales), **versions}


def check(locales: Sequence[str]) -> None:
    """Check the locales of a build before it starts.

    Raises:
        repic.errors.ConfigError: a locale has no names, its language changes names in a way that
            captions are not read for, or all locales together have too few names.
    """
    for locale in locales:
        _spellings(locale)
        if why := _UNREAD.get(locale.partition("_")[0]):
            raise ConfigError(
                f"names of the locale {locale!r} cannot be found in captions: {why}. Set "
                f"examples.names.locales to {_SUCH_AS}"
            )
    count = len({fold(name) for locale in locales for name in first_names(locale)})
    if count < FEWEST:
        raise ConfigError(
            f"the locales {', '.join(locales)} have {count} usable first names, fewer than "
            f"{FEWEST}: add to examples.names.locales {_SUCH_AS}"
        )


@cache
def ordinary_words() -> frozenset[str]:
    """Words that are not used as names, folded.

    Raises:
        ModuleNotFoundError: timm is not installed.
    """
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("names need timm's word lists: pip install timm", name="timm")
    folder = Path(spec.submodule_search_locations[0]) / "data" / "_info"
    ours = (resources.files("repic.objectives") / "ordinary_names.txt").read_text(encoding="utf-8")
    lines = (line for line in ours.splitlines() if not line.startswith("#"))
    words = {fold(word) for line in lines for word in line.split()}
    for name in ("imagenet_synset_to_definition.txt", "imagenet_synset_to_lemma.txt"):
        words.update(_LOWER.findall((folder / name).read_text(encoding="utf-8")))
    for locale in ("en_US", "fr_FR", "it_IT", "de_DE", "es_ES", "zh_CN", "ja_JP"):
        provider = importlib.import_module(f"faker.providers.lorem.{locale}").Provider
        words.update(fold(word) for word in provider.word_list)
    return frozenset(words)


@cache
def first_names(locale: str) -> tuple[str, ...]:
    """Usable first names of a locale, sorted.

    Raises:
        repic.errors.ConfigError: Faker has no names for this locale, or none of them is usable.
    """
    usable = sorted(name for name in _spellings(locale) if is_usable(name))
    if not usable:
        raise _no_names(locale, "only first names that are also words")
    return tuple(usable)


@cache
def _spellings(locale: str) -> frozenset[str]:
    """First names of a locale that are one run of letters and long enough; some may be words."""
    try:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    except ModuleNotFoundError:
        raise _no_names(locale, "no first names") from None
    known = provider.first_names
    if isinstance(known, property):  # es_CL: computed from these
        known = (*provider.first_names_female, *provider.first_names_male)
    spellings = frozenset(unicodedata.normalize("NFC", name) for name in known)
    usable = frozenset(name for name in spellings if _is_spelled(name))
    if not usable:
        raise _no_names(locale, "no first name that is one run of letters")
    return usable


def _no_names(locale: str, what: str) -> ConfigError:
    return ConfigError(
        f"Faker has {what} for the locale {locale!r}: set examples.names.locales to {_SUCH_AS}"
    )


def is_usable(name: str) -> bool:
    """Whether it is one run of letters, long enough, and not an ordinary word."""
    return _is_spelled(name) and fold(name) not in ordinary_words()


def _is_spelled(name: str) -> bool:
    shortest = 2 if _is_syllabic(name) else 3
    return len(name) >= shortest and _LETTERS.fullmatch(name) is not None


def _is_syllabic(name: str) -> bool:
    return is_han(name) or any("\uac00" <= c <= "\ud7a3" for c in name)


def draw_names(
    rng: SeededRandom, count: int, locales: Sequence[str], avoid: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """Draw names that cannot be confused with each other.

    Args:
        rng: The same state gives the same names.
        avoid: Texts of the example (labels, captions); none of their words becomes a name.

    Returns:
        `(name, locale)` per reference. Ignoring case and accents, no name is a prefix of another;
        in scripts without spaces, none is contained in another.

    Raises:
        repic.errors.ConfigError: the locales have too few names.
    """
    taken = set[str]().union(*map(_folded_words, avoid))
    chosen: list[tuple[str, str]] = []
    for _ in range(100 * count):
        if len(chosen) == count:
            return chosen
        locale = rng.pick(locales)
        name = rng.pick(first_names(locale))
        if fold(name) not in taken and not _clashes(name, [other for other, _ in chosen]):
            chosen.append((name, locale))
    if len(chosen) == count:
        return chosen
    raise ConfigError(
        f"{', '.join(locales)} have no {count} distinct names: add a locale to "
        "examples.names.locales, or lower examples.ict.max_references"
    )


@lru_cache(maxsize=1 << 14)
def _folded_words(text: str) -> frozenset[str]:
    return frozenset(map(fold, _LETTERS.findall(text)))


def _clashes(name: str, others: Collection[str]) -> bool:
    folded = fold(name)
    for other in map(fold, others):
        if folded.startswith(other) or other.startswith(folded):
            return True
        if is_han(name) and (folded in other or other in folded):
            return True
    return False

"""Names of references: the pools of the locales, and how they are drawn."""

from __future__ import annotations

import pkgutil

import faker.providers.person
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.config import NameSettings
from repic.errors import ConfigError
from repic.objectives.base import SeededRandom
from repic.objectives.names import (
    check,
    describe,
    draw_names,
    first_names,
    fold,
    is_usable,
    ordinary_words,
)
from tests.objectives.name_sentences import shares_read
from tests.timing import is_within

LOCALES = NameSettings().locales


@pytest.mark.parametrize("locale", [*LOCALES, "de_DE", "ja_JP", "ru_RU"])
def test_pools_are_large_and_clean(locale: str) -> None:
    names = first_names(locale)
    assert len(names) >= 25
    assert list(names) == sorted(set(names))
    assert all(name.isalpha() and fold(name) not in ordinary_words() for name in names)


def test_scripts_come_as_they_are() -> None:
    assert any("\uac00" <= name[0] <= "\ud7a3" for name in first_names("ko_KR"))
    assert any("\u4e00" <= name[0] <= "\u9fff" for name in first_names("zh_CN"))
    assert any(not name.isascii() for name in first_names("fr_FR"))


@pytest.mark.parametrize(
    "word",
    [
        "Will",
        "May",
        "Grace",
        "Mark",
        "Rose",
        "Bill",
        "Art",
        "Cat",
        "Joy",
        "Aimé",
        "桂花",
        "지혜",
        "Bo",
    ],
)
def test_words_are_not_names(word: str) -> None:
    assert not is_usable(word)


def test_names_are_names() -> None:
    assert all(map(is_usable, ("Alice", "Zoé", "Giovanni", "민준", "秀英")))


@given(st.integers(0, 2**63 - 1), st.integers(1, 8))
def test_drawn_names_cannot_be_mistaken(seed: int, count: int) -> None:
    drawn = draw_names(SeededRandom(seed), count, LOCALES)
    assert drawn == draw_names(SeededRandom(seed), count, LOCALES)
    folded = [fold(name) for name, _ in drawn]
    assert len(set(folded)) == count
    assert not any(a is not b and a.startswith(b) for a in folded for b in folded)
    assert all(name in first_names(locale) for name, locale in drawn)


def test_words_of_the_example_are_avoided() -> None:
    text = " ".join(name for name in first_names("fr_FR") if name != "Zoé").upper()
    assert draw_names(SeededRandom(1), 1, ("fr_FR",), [text]) == [("Zoé", "fr_FR")]


def test_too_few_names_is_an_error() -> None:
    with pytest.raises(ConfigError, match="add a locale"):
        draw_names(SeededRandom(1), 500, ("zh_CN",))


@pytest.mark.parametrize("locale", ["xx_XX", "mr_IN"])
def test_a_locale_without_names_is_an_error_before_a_build_starts(locale: str) -> None:
    with pytest.raises(ConfigError, match=r"examples\.names\.locales"):
        first_names(locale)
    with pytest.raises(ConfigError, match=r"examples\.names\.locales"):
        check(["en_US", locale])


def test_names_that_faker_computes_are_used() -> None:
    assert len(first_names("es_CL")) > 25


def test_description_is_small_and_names_the_versions() -> None:
    assert set(describe(LOCALES)) == {"locales", "faker", "timm"}


def test_speed() -> None:
    draw_names(SeededRandom(0), 4, LOCALES)
    near = ["a dog on a sofa in a room"]
    assert is_within(
        1, lambda: [draw_names(SeededRandom(seed), 2, LOCALES, near) for seed in range(2_000)]
    )


def _locales() -> list[str]:
    """All locales for which Faker has first names that are one run of letters."""
    found = []
    for module in pkgutil.iter_modules(faker.providers.person.__path__):
        try:
            first_names(module.name)
        except ConfigError:
            continue
        found.append(module.name)
    return found


def test_exactly_the_locales_are_refused_whose_names_are_not_read() -> None:
    """Names of each locale, in four sentences of its language."""
    assert len(_locales()) > 70
    for locale in _locales():
        pool = first_names(locale)
        shares = shares_read(locale, pool[:: max(1, len(pool) // 60)])
        if min(shares) >= 0.95:
            check([locale, *LOCALES])
        else:
            with pytest.raises(ConfigError, match="cannot be found in captions"):
                check([locale, *LOCALES])


def test_too_few_names_are_told() -> None:
    for locales in (["vi_VN"], ["bn_BD", "hi_IN"]):
        with pytest.raises(ConfigError, match=r"fewer than 20: add to examples\.names\.locales"):
            check(locales)
    check(["vi_VN", "en_US"])

"""English noun phrases: articles and number.

Prompts and captions put labels of any detector into sentences: `a dog`, `an hourglass`, `the
scissors are`, `broccoli`. The rules are those of pronunciation for `a` and `an`, and of the last
word of the head for the number: `bottle of pills` is singular, `pills in a bottle` plural.
"""

from __future__ import annotations

import re
from functools import lru_cache

_ARTICLE = re.compile(r"\s*(?:the|an?|one)\s+", re.IGNORECASE)
_DETERMINER = re.compile(
    r"\s*(?:the|an?|one|this|that|these|those|his|her|their|its|my|your|our)\s+", re.IGNORECASE
)
_AFTER_HEAD = re.compile(
    r"[,(/]|-(?:of|in)-|(?<=\s)(?:of|with|without|in|on|at|for|from|to|by|des?|du|that|which|who|"
    r"attached|wearing|holding|standing|sitting|lying)\b",
    re.IGNORECASE,
)

_SPELLED = re.compile(r"[AEFHILMNORSX](?=[\s.-]|$)|[AEFHILMNORSX][BCDFGHJKLMNPQRSTVWXZ]|SUV")
"""Begins with a letter whose name begins with a vowel: X-ray, LCD screen, SUV."""
_AS_A = re.compile(r"eu|ewe|onc?e\b|uni(?![nm]|de)|u[bkrst][aeiou]|ubiq|u[fv]?\b", re.IGNORECASE)
"""Begins with a vowel letter and the sound of a consonant: European, unicycle, one-piece."""
_AS_AN = re.compile(r"hour|heir|honou?r|honest", re.IGNORECASE)
_LETTER_U = re.compile(r"U[A-Z]|UFO\b")

_PLURAL_WORDS = """
people men women children feet teeth geese mice lice oxen police cattle dice skis taxis bikinis
kiwis zucchinis menus emus gnus
"""
_PLURALS = frozenset(_PLURAL_WORDS.split())

_SINGULAR_WORDS = """
alias atlas bias canvas chaos christmas cosmos gas kudos lens pancreas patas pyrenees
rhinoceros series species swiss triceratops news tapas paris texas dallas mars venus
"""
_SINGULARS = frozenset(_SINGULAR_WORDS.split())
"""Words with a final s that are singular, besides those in -ss, -us and -is."""
_SINGULAR_ENDING = re.compile(r"(?:ss|us|is|'s)$")

_MASS_WORDS = """
asparagus bacon beef bread broccoli butter cardboard carbonara cash celery cheese chicken
chocolate clay clothing coal consomme corn cotton cutlery dough eggnog espresso fabric firewood
flour food footwear fruit furniture garlic gasoline glassware grass gravel graffiti guacamole hair
hay honey ice ink jam jewelry ketchup laundry lace lettuce lipgloss liquor luggage lumber mail
makeup mayonnaise meat milk money mud mustard paper parsley pasta plastic popcorn pork pottery
rapeseed rice salt sand silverware smoke snow soap soil spinach steel stuff sugar sunscreen sushi
tableware tea thatch tofu trash underwear velvet water wheat wine wood wool yogurt
"""
_MASS = frozenset(_MASS_WORDS.split())
"""Words without `a`, because nobody counts them."""
_MASS_PHRASES = frozenset(
    (
        *("chain mail", "chocolate sauce", "coral fungus", "face powder", "hair spray"),
        *("ice cream", "mashed potato", "red wine", "toilet paper", "toilet tissue"),
    )
)


def without_article(text: str) -> str:
    """The phrase without `the`, `a`, `an` or `one` at its beginning.

    A phrase that is nothing but an article stays: `one`.
    """
    article = _ARTICLE.match(text)
    return text[article.end() :] or text if article else text


def without_determiner(text: str) -> str:
    """The phrase without an article or another word in its place at its beginning."""
    determiner = _DETERMINER.match(text)
    return text[determiner.end() :] or text if determiner else text


def has_determiner(text: str) -> bool:
    """Whether the phrase begins with an article or another word in its place: `my dog`."""
    return _DETERMINER.match(text) is not None


@lru_cache(maxsize=4096)
def is_plural(text: str) -> bool:
    """Whether a verb after the phrase is plural: `sunglasses`, `pair of shoes` is not."""
    word = head_noun(text)
    if word in _PLURALS:
        return True
    if not word.endswith("s") or len(word) < 3 or word in _SINGULARS:
        return False
    return _SINGULAR_ENDING.search(word) is None


def with_article(text: str) -> str:
    """The phrase with `a` or `an`; plurals, uncountable nouns and other scripts get none.

    `a dog`, `an hourglass`, `a unicycle`, `an SUV`, `scissors`, `broccoli`.
    """
    text = text.strip()
    if has_determiner(text) or not text.isascii() or is_plural(text) or _is_mass(text):
        return text
    return f"{_indefinite(text)} {text}" if text else text


def _indefinite(text: str) -> str:
    if _SPELLED.match(text):
        return "an"
    if _AS_A.match(text) or _LETTER_U.match(text):
        return "a"
    return "an" if _AS_AN.match(text) or text[:1].lower() in "aeiou" else "a"


def _is_mass(text: str) -> bool:
    folded = text.casefold()
    return folded in _MASS or folded in _MASS_PHRASES


def head_noun(text: str) -> str:
    """The last word of the part of the phrase before `of`, `with` or the like, lower-cased."""
    phrase = without_article(text.strip().rstrip(".")).casefold()
    cut = _AFTER_HEAD.search(phrase, 1)
    words = (phrase[: cut.start()] if cut else phrase).split()
    return words[-1] if words else ""

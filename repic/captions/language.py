"""Whether a text is a caption in English prose: known words, in an order that English has.

Four things are checked, each from 0 to 1, and the lowest counts:

- words: the share of the words that the dictionary knows. A third may be unknown, so that names,
  brands and text that is read off a sign pass;
- order: how much more often the pairs of neighbouring words occur in English than by chance, as the
  mean of their logarithms. A shuffled text has pairs that never occur although both words are
  common, such as `the of`;
- grammar: in a text of more than a few words, some are articles, prepositions or the like;
- padding: a long text is not mostly white space or punctuation.

A text that says nothing but what can be said of every photo, such as `This is <Ann>, a beautiful
picture`, gets `VAGUE` times that; so does a refusal. Text of other languages is not checked. The
dictionary and the pairs are those of the package symspellpy (from Google Books), which are read on
first use. Time is linear in the text.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence, Set
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import pairwise

from repic.captions.tokens import HAN, HANGUL
from repic.captions.vocabulary import STOP_WORDS

KNOWN = (0.35, 0.65)
"""Shares of known words that score 0 and 1."""

ORDER = (0.0, 0.4)
"""Mean binary logarithms of pairs that score 0 and 1; prose has 0.4 to 4, shuffled prose -1."""

DOUBT = 3
"""Number of pairs with a logarithm of 1 that are added, so that few pairs do not decide."""

GRAMMAR = 0.1
"""Share of grammatical words that a text of `LISTED` words needs."""

LISTED = 8
FEWEST_PAIRS = 3
"""Least number of pairs of which anything is known; fewer say nothing about the order."""

PADDING = (20.0, 12.0)
"""Characters per token that score 0 and 1 in texts of more than `LONG` characters."""

LONG = 300
MARKS = (0.8, 0.5)
"""Shares of punctuation among the tokens that score 0 and 1 in long texts."""

VAGUE = 0.1
"""Score of a text without a word of what this photo shows."""

WORDS_PER_DETAIL = 8
"""Distinct words of a text per word of what this photo shows."""

FOREIGN = 0.2
"""Share of the words that are grammatical words of another language, if the text is in it."""

_GENERAL = """
photo photos picture pictures image images photograph scene view shot snapshot frame caption
description moment setting place background foreground middle center centre side front area thing
things something everything nothing anything object objects item items subject subjects element
elements detail details part parts someone somebody everyone everybody nobody anyone person people
appear appears appearing seem seems see seen sees show shows depict depicts capture captures
feature features include includes contain contains present visible clear clearly recognizable
recognisable can could may might must will would shall should do does did not no be very quite
really rather just only also too some several many few all both each every any more most other
another one two three well together here there now today where when what how so then than nice good
great beautiful lovely pretty wonderful amazing stunning fine perfect pleasant charming interesting
simple plain calm quiet peaceful serene cozy cosy warm soft softly inviting natural bright light
lit lighting mood atmosphere overall feeling sense style composition quality focus sharp evenly
neatly nicely arranged centered centred standing stands stand remains remain stays stay else moves
move moving still around surroundings environment kind sort type way general usual sorry cannot
can't don't unable help assist language model assistant ai able describe answer question request
please name names named called known given mentioned reference references my me your our
photographer credit credits copyright rights reserved permission owner property courtesy published
following false true claim statement am such as like fit fits cheerful lively colorful
colourful vibrant elegant balanced random typical wonderful fantastic gorgeous color colors colour
colours shadow shadows camera taken happening happens
"""

_FIRST_PERSON = frozenset(("i", "i'm", "i\u2019m", "we", "we're", "my", "our"))
_REFUSING = frozenset(("sorry", "unable", "apologies", "apologize", "apologise", "afraid"))

_GRAMMATICAL = """
some any each every no not all both its my your our her his their him them me us he she they we who
what where when while as than if so because until during through up down out off over under about
after before between among along across around behind above below toward towards inside outside
onto without do does did can could will would may might must should not very too just then am
"""
_GRAMMATICAL_WORDS = STOP_WORDS | frozenset(_GRAMMATICAL.split())
_GENERAL_WORDS = _GRAMMATICAL_WORDS | frozenset(_GENERAL.split())
"""Words that can be said of every photo, or that are about the answer instead of a photo."""

_OTHERS = (
    "le la les un une des du de et est sur dans avec au aux qui il elle son sa ses pas ce cette",
    "il lo la gli un una di del della dei e è su con nel nella che sono al alla si non questo",
    "el la los las un una de del y es en con que se al su por no está están este esta",
    "der die das ein eine einen einem einer und ist sind auf im in mit von zu dem den nicht vor",
    "o a os as um uma de do da dos das e é em no na com que se ao por não está",
    "de het een en is op in met van te zijn dat die niet voor aan er bij",
    "och är en ett på i med som av den det inte til og er et på med som av ikke",
    "w z na i jest się do nie to o po za przez",
    "yang di dan ini itu dengan untuk ada pada sebuah adalah ve bir bu ile için da de",
)
"""Grammatical words of other languages in Latin letters."""

_OTHER_WORDS = tuple(frozenset(words.split()) - {"a", "in", "i", "no", "to"} for words in _OTHERS)

_PACKAGE = "symspellpy"
_WORD_COUNTS = "frequency_dictionary_en_82_765.txt"
_PAIR_COUNTS = "frequency_bigramdictionary_en_243_342.txt"
_SCALE = 40.0
"""Counts of pairs over those of words: they come from different editions of Google Books."""

LEAST_PAIRS = 6_400_000
"""Count of the rarest pair in the file."""

_MOST = 4.0
"""Largest binary logarithm of one pair, so that no single pair decides."""

_CACHED = 100_000
_OTHER_SCRIPT = re.compile(f"[{HAN}{HANGUL}\u0370-\u1cff]")
_MARK, _NAME, _UNKNOWN, _KNOWN, _GRAMMATICAL_WORD, _FOREIGN = range(6)


def language_score(tokens: Sequence[str], length: int, words: Set[str]) -> float | None:
    """How much a text is a caption in English, 0 to 1; None if it is in another language.

    Args:
        tokens: Tokens of the text, `@0` for a name; see `CaptionReading`.
        length: Characters of the text.
        words: Distinct words of the text, without names.
    """
    english = _english()
    kinds = bytes(map(english.kinds.__getitem__, tokens))
    counts = [kinds.count(kind) for kind in range(6)]
    count, foreign = sum(counts[_UNKNOWN:]), counts[_FOREIGN]
    if 2 * foreign > count or (counts[_UNKNOWN] > count / 4 and _is_other_language(tokens)):
        return None
    grammatical = counts[_GRAMMATICAL_WORD]
    unknown = counts[_UNKNOWN] / max(1, count - foreign)
    score = min(_between(1 - unknown, KNOWN), english.order(tokens))
    if count >= LISTED:
        score = min(score, grammatical / count / GRAMMAR)
    if length > LONG:
        marks = counts[_MARK] / max(1, len(tokens))
        score = min(score, _between(length / max(1, len(tokens)), PADDING), _between(marks, MARKS))
    told = len(words - _GENERAL_WORDS) / max(1, len(words) // WORDS_PER_DETAIL)
    if not (words.isdisjoint(_REFUSING) or words.isdisjoint(_FIRST_PERSON)):
        told = 0.0
    return score * (VAGUE + (1 - VAGUE) * min(1.0, told))


def _between(value: float, limits: tuple[float, float]) -> float:
    """The position of a value between two limits, clipped to 0..1."""
    low, high = limits
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _is_other_language(tokens: Sequence[str]) -> bool:
    """Whether enough of the words are grammatical words of one other language, at least two."""
    words = [token for token in tokens if token[0].isalpha()]
    found = [[word for word in words if word in language] for language in _OTHER_WORDS]
    return any(len(set(hits)) > 1 and len(hits) >= FOREIGN * len(words) for hits in found)


class _Kinds(dict[str, int]):
    """Token -> what kind of word it is, filled on demand."""

    def __init__(self, counts: dict[str, int]) -> None:
        super().__init__()
        self.counts = counts

    def __missing__(self, token: str) -> int:
        kind = self._kind(token.replace("\u2019", "'"))
        if len(self) < _CACHED:
            self[token] = kind
        return kind

    def _kind(self, token: str) -> int:
        if not token[0].isalnum():
            return _NAME if token[0] == "@" else _MARK
        if token in _GRAMMATICAL_WORDS:
            return _GRAMMATICAL_WORD
        if _OTHER_SCRIPT.search(token):
            return _FOREIGN
        parts = token.removesuffix("'s").split("-")
        return _KNOWN if all(part in self.counts for part in parts) else _UNKNOWN


class _Pairs(dict[tuple[str, str], float]):
    """Pair of tokens -> binary logarithm of its count over the one by chance, filled on demand.

    0 if nothing is known: one of them is not a word of the dictionary, the pair is too rare by
    chance to be expected among the pairs that are counted, or it is `no` before a noun.
    """

    def __init__(self, words: dict[str, int], lines: list[str]) -> None:
        """
        Args:
            lines: `FIRST SECOND COUNT`, sorted. Most are never looked at, and to make a dictionary
                of them takes a tenth of a second in every process.
        """
        super().__init__()
        self.words, self.lines = words, lines
        self.factor = _SCALE / sum(words.values())

    def __missing__(self, pair: tuple[str, str]) -> float:
        first, second = (self.words.get(word) for word in pair)
        value = 0.0
        if first and second:
            by_chance = self.factor * first * second
            is_free = pair[0] == "no" and pair[1] not in _GRAMMATICAL_WORDS  # "no mug"
            least = by_chance if is_free else min(LEAST_PAIRS, by_chance)
            value = math.log2((self._count(f"{pair[0]} {pair[1]} ") or least) / by_chance)
            value = min(_MOST, max(-_MOST, value))
        if len(self) < _CACHED:
            self[pair] = value
        return value

    def _count(self, start: str) -> int:
        """The count in the line that begins so; 0 if there is none."""
        place = bisect_left(self.lines, start)
        line = self.lines[place] if place < len(self.lines) else ""
        return int(line.removeprefix(start)) if line.startswith(start) else 0


class _English:
    """The dictionary of symspellpy."""

    def __init__(self, folder: Traversable) -> None:
        counts = (line.rpartition(" ") for line in _lines(folder / _WORD_COUNTS))
        words = {word: int(count) for word, _, count in counts}
        self.kinds = _Kinds(words)
        self._pairs = _Pairs(words, sorted(_lines(folder / _PAIR_COUNTS)))

    def order(self, tokens: Sequence[str]) -> float:
        """How English the order of the words is, 0 to 1; 1 if too little is known of it."""
        known = [*filter(None, map(self._pairs.__getitem__, pairwise(tokens)))]
        if len(known) < FEWEST_PAIRS:
            return 1.0
        return _between((sum(known) + DOUBT) / (len(known) + DOUBT), ORDER)


@cache
def _english() -> _English:
    return _English(resources.files(_PACKAGE))


def _lines(file: Traversable) -> list[str]:
    return file.read_text("utf-8-sig").splitlines()

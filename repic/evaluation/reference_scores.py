"""BLEU, ROUGE-L and CIDEr of captions against reference captions, as pycocoevalcap counts them.

- BLEU-1 to BLEU-4 (Papineni et al. 2002): n-gram counts of all captions are summed before they are
  divided, and the length is compared with that of the closest reference.
- ROUGE-L (Lin 2004): per caption, F with beta 1.2 of the largest precision and the largest recall
  of the longest common subsequence over its references; then the mean.
- CIDEr (Vedantam et al. 2015, arXiv 1411.5726): ten times the mean cosine of tf-idf weighted
  n-grams, n from 1 to 4, clipped and with a penalty for length (sigma 6): the variant CIDEr-D,
  which that package calls CIDEr. A document is the set of references of one caption. Intervals take
  the document frequencies as given.

METEOR and SPICE need Java and are not computed.

The scores are those of the package for the same tokens. Its tokenizer needs Java, too; ours,
`words`, follows the same rules: lower case, clitics apart (`dog 's`, `is n't`), no punctuation. The
angle brackets around names are punctuation: `<Ann>` is the word `ann`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from repic.captions.tokens import HAN, HANGUL, compose
from repic.errors import CaptionError
from repic.evaluation.intervals import Array, Estimate, sum_by_photo
from repic.evaluation.records import Record

ORDER = 4
"""Longest n-gram."""

COLUMNS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")
BETA, SIGMA = 1.2, 6.0
LONGEST = 10_000
"""Characters of a caption that are read; 1,024 tokens are about 5,000."""

_SMALL, _TINY = 1e-9, 1e-15
"""What the package adds to denominators and to numerators."""

_CLITIC = r"(?:n't|'(?:s|m|d|re|ve|ll))\b"
_LETTERS = rf"[^\W_{HAN}{HANGUL}]+"
_TOKEN = re.compile(
    rf"[{HAN}]|[{HANGUL}]+|\d+(?:[.,:/]\d+)+|{_LETTERS}?(?={_CLITIC})|{_CLITIC}|"
    rf"{_LETTERS}(?:[-.&'](?!(?:s|m|d|re|ve|ll)\b){_LETTERS})*|[$%&@#+=*/]"
)

NGram = tuple[str, ...]
Grams = Counter[NGram]
Words = Sequence[str]


def words(text: str) -> list[str]:
    """Tokens of a caption, without punctuation; a Han character is a token."""
    plain = compose(text[:LONGEST]).replace("\u2019", "'").lower()
    return _TOKEN.findall(plain)


def reference_scores(
    records: Iterable[Record], references: Mapping[str, Sequence[str]]
) -> dict[str, Estimate]:
    """Scores with intervals, clustered by photo. CIDEr ranges from 0 to 10.

    Args:
        references: Photo -> its reference captions; see `reference_files.ReferenceCaptions`.

    Raises:
        CaptionError: a photo has no reference caption.
    """
    rows = [(record.photo, words(record.caption), references[record.photo]) for record in records]
    tokens: dict[str, list[Words]] = {}
    for photo, _, texts in rows:
        if photo not in tokens:
            tokens[photo] = [found for text in texts if (found := words(text))]
            if not tokens[photo]:
                raise CaptionError(f"the reference captions of {photo} are empty; write them")
    cider = Cider([tokens[photo] for photo, _, _ in rows])
    counts = []
    for photo, own, _ in rows:
        given = tokens[photo]
        correct, guessed, length, closest = bleu_counts(own, given)
        means = rouge_l(own, given), cider.score(own, given)
        counts.append((photo, (*correct, length, *means), (*guessed, closest, 1.0, 1.0)))
    sums = sum_by_photo(counts, ORDER + 3, _statistic)
    return dict(
        zip(COLUMNS, sums.estimates(["caption"] * len(COLUMNS), [sums.rows] * 6), strict=True)
    )


def _statistic(sums: Array) -> Array:
    """BLEU-1 to BLEU-4, mean ROUGE-L and mean CIDEr of sums (..., 2 * (ORDER + 3))."""
    top, bottom = sums[..., : ORDER + 3], sums[..., ORDER + 3 :]
    precisions = (top[..., :ORDER] + _TINY) / (bottom[..., :ORDER] + _SMALL)
    orders = np.arange(1, ORDER + 1)
    bleus = np.cumprod(precisions, axis=-1) ** (1 / orders)
    ratio = (top[..., ORDER] + _TINY) / (bottom[..., ORDER] + _SMALL)
    with np.errstate(over="ignore"):
        brevity = np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)
    means = top[..., ORDER + 1 :] / bottom[..., ORDER + 1 :]
    return np.concatenate([bleus * brevity[..., None], means], axis=-1)


def bleu_counts(
    caption: Words, references: Sequence[Words]
) -> tuple[list[int], list[int], int, int]:
    """What a caption adds to BLEU: right and all n-grams by n, its length, the closest reference's.

    An n-gram is right at most as often as in the reference that has it most often.
    """
    correct, guessed = [], []
    for n in range(1, ORDER + 1):
        most: Grams = Counter()
        for reference in references:
            most |= ngrams(reference, n)
        correct.append((ngrams(caption, n) & most).total())
        guessed.append(max(0, len(caption) - n + 1))
    length = len(caption)
    closest = min((abs(len(r) - length), len(r)) for r in references)[1]
    return correct, guessed, length, closest


def ngrams(tokens: Words, n: int) -> Grams:
    """N-grams and how often they occur."""
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def rouge_l(caption: Words, references: Sequence[Words]) -> float:
    """ROUGE-L of a caption, 0 to 1."""
    common = [common_length(caption, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(caption)
    recall = max(c / len(reference) for c, reference in zip(common, references, strict=True))
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_length(first: Words, second: Words) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for token in first:
        new = [0]
        for (above, beside), other in zip(pairwise(row), second, strict=True):
            new.append(above + 1 if token == other else max(beside, new[-1]))
        row = new
    return row[-1]


class Cider:
    """CIDEr-D with the document frequencies of a set of references."""

    def __init__(self, documents: Sequence[Sequence[Words]]) -> None:
        """
        Args:
            documents: The references of each caption.
        """
        self._frequency: Counter[NGram] = Counter()
        for document in documents:
            self._frequency.update({gram for text in document for gram in _all_ngrams(text)})
        self._log_count = math.log(len(documents))

    def score(self, caption: Words, references: Sequence[Words]) -> float:
        """Ten times the mean similarity to the references."""
        own = self._weights(caption)
        similar = [self._similarity(own, self._weights(reference)) for reference in references]
        return 10 * sum(similar) / len(similar)

    def _weights(self, text: Words) -> tuple[list[dict[NGram, float]], int]:
        """tf-idf of the n-grams, by n, and the number of pairs of words, which counts as length."""
        weights = [
            {
                gram: count * (self._log_count - math.log(max(1, self._frequency[gram])))
                for gram, count in ngrams(text, n).items()
            }
            for n in range(1, ORDER + 1)
        ]
        return weights, max(0, len(text) - 1)

    @staticmethod
    def _similarity(
        own: tuple[list[dict[NGram, float]], int], other: tuple[list[dict[NGram, float]], int]
    ) -> float:
        total = 0.0
        for mine, theirs in zip(own[0], other[0], strict=True):
            shared = sum(
                min(weight, theirs[gram]) * theirs[gram]
                for gram, weight in mine.items()
                if gram in theirs
            )
            norms = _norm(mine) * _norm(theirs)
            total += shared / norms if norms else shared
        return total / ORDER * math.exp(-((own[1] - other[1]) ** 2) / (2 * SIGMA**2))


def _all_ngrams(text: Words) -> Iterable[NGram]:
    return (gram for n in range(1, ORDER + 1) for gram in ngrams(text, n))


def _norm(weights: Mapping[NGram, float]) -> float:
    return math.sqrt(sum(weight**2 for weight in weights.values()))

"""What a caption repeats, or copies from its prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import eq

from repic.captions.clauses import ENDS
from repic.captions.tokens import normal, plain_words

GRAM = 4
"""Consecutive words that count as copied if the prompt has the same sequence."""

RUN = 6
"""Consecutive words that count as repetition; true captions repeat shorter sequences, such as
"with white dots and a"."""

FREE_REPETITION = 0.2
"""Repetition, as a share of the tokens, that costs nothing."""

Gram = tuple[str, ...]
_ENDS_SENTENCE = ENDS | {":"}


@lru_cache(maxsize=4096)
def grams_of(text: str) -> frozenset[Gram]:
    """All runs of `GRAM` words of a text."""
    return frozenset(_runs(plain_words(normal(text)), GRAM))


def _runs(words: Sequence[str], length: int) -> Iterator[Gram]:
    return zip(*(words[i:] for i in range(length)), strict=False)


def copied_words(words: Sequence[str], prompt: frozenset[Gram]) -> frozenset[str]:
    """Words that occur only in passages copied from the prompt."""
    if prompt.isdisjoint(_runs(words, GRAM)):
        return frozenset()
    inside = bytearray(len(words))
    for start, run in enumerate(_runs(words, GRAM)):
        if run in prompt:
            inside[start : start + GRAM] = b"\1" * GRAM
    outside = {word for word, flag in zip(words, inside, strict=True) if not flag}
    return frozenset(words) - outside


def repetition(tokens: Sequence[str], words: Sequence[str], request: frozenset[Gram]) -> float:
    """Share of the tokens that repeat others or the request; see `CaptionReading`.

    Args:
        words: The tokens without marks.
    """
    if len(words) < 2:
        return 0.0
    share = 2 * sum(map(eq, tokens, tokens[1:])) / len(words)
    # 1 if every second word is one of a few, as in "a really red so mug really"
    half = len(words) // 2
    share += half >= 6 and min(len({*words[::2]}), len({*words[1::2]})) <= half / 3
    if len({*_runs(words, 3)}) < len(words) - 2:
        runs = [*_runs(words, RUN)]
        share += (len(runs) - len({*runs})) / max(1, len(runs))
        share = max(share, _repeated_sentences(tokens) / len(words))
    if not request.isdisjoint(_runs(words, GRAM)):
        share += sum(run in request for run in _runs(words, GRAM)) / (len(words) - GRAM + 1)
    return min(1.0, share)


def _repeated_sentences(tokens: Sequence[str]) -> int:
    """Number of tokens in repeated sentences of three tokens or more."""
    parts = groupby(tokens, key=_ENDS_SENTENCE.__contains__)
    sentences = [tuple(part) for is_end, part in parts if not is_end]
    long = [sentence for sentence in sentences if len(sentence) > 2]
    return sum(map(len, long)) - sum(map(len, {*long}))

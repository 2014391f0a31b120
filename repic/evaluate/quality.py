"""How captions read, whoever is in them: length, variety, and what they copy.

- length: words per caption.
- distinct-n: different n-grams over all n-grams of the file (Li et al. 2016, arXiv 1510.03055). It
  falls as a file grows: compare files of one size.
- self-BLEU: BLEU-4 of a caption against all others, 1 if they are all alike (Zhu et al. 2018,
  arXiv 1802.01886; zero counts become 0.1).
- copy rate: share of a caption's 4-grams that stand in the text of its references.

Names and tags are no words here. Large files are measured on a sample that does not depend on their
order.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from repic.captions.mentions import GRAM
from repic.captions.tokens import plain_words
from repic.evaluate.intervals import gather, intervals
from repic.evaluate.metrics import Score
from repic.evaluate.records import Record, folded

SAMPLE = 10_000
"""Most captions that are measured."""

_LONGEST = 10_000
_EPSILON = 0.1
Gram = tuple[str, ...]


def quality(records: Iterable[Record], infos: Mapping[str, str] | None = None) -> dict[str, Score]:
    """Length, distinct-1, distinct-2, self-BLEU and copy rate.

    Args:
        infos: Folded name -> text of its reference, for files that do not carry it.

    Returns:
        Scores with an interval where they are means over captions; distinct-n has none, as drawing
        a caption twice lowers it.
    """
    chosen = heapq.nsmallest(SAMPLE, records, key=_place)
    words = [plain_words(record.caption[:_LONGEST]) for record in chosen]
    bleu = self_bleu(words)
    rows = []
    for record, said, alike in zip(chosen, words, bleu, strict=True):
        info = "\n".join([record.info, *_infos(record, infos or {})])
        copied, grams = _copied(said, info)
        rows.append((record.photo, (len(said), alike or 0, copied), (1, alike is not None, grams)))
    sums = gather(rows, 3)
    bounds = intervals(sums) if len(sums.photos) > 1 else [(None, None)] * 3
    found = {}
    for k, (name, unit) in enumerate(
        (("length", "caption"), ("self_bleu", "caption"), ("copy_rate", f"{GRAM}-gram"))
    ):
        found[name] = Score(sums.ratios[k], *bounds[k], int(sums.bottom[:, k].sum()), unit)
    for n in (1, 2):
        grams_of_file = list(chain.from_iterable(_grams(said, n) for said in words))
        share = len(set(grams_of_file)) / len(grams_of_file) if grams_of_file else None
        unit = "word" if n == 1 else f"{n}-gram"
        found[f"distinct_{n}"] = Score(share, None, None, len(grams_of_file), unit)
    return found


def self_bleu(captions: Sequence[Sequence[str]], most: int = 4) -> list[float | None]:
    """BLEU of each caption against all others; None for one without words, or without others.

    An n-gram counts at most as often as in the caption of the others that has it most. The two
    largest counts of each n-gram tell that for every caption, so time is linear.
    """
    if len(captions) < 2:
        return [None] * len(captions)
    lengths = sorted(len(words) for words in captions)
    precisions = [[0.0] * most for _ in captions]
    for n in range(1, most + 1):
        counts = [Counter(_grams(words, n)) for words in captions]
        largest: dict[Gram, tuple[int, int]] = {}
        for counted in counts:
            for gram, count in counted.items():
                first, second = largest.get(gram, (0, 0))
                largest[gram] = (max(first, count), max(second, min(first, count)))
        for place, counted in enumerate(counts):
            clipped = 0
            for gram, count in counted.items():
                first, second = largest[gram]
                clipped += min(count, second if count == first else first)
            precisions[place][n - 1] = max(clipped, _EPSILON) / max(counted.total(), 1)
    return [
        math.exp(sum(map(math.log, found)) / most) * _brevity(len(words), lengths)
        if words
        else None
        for words, found in zip(captions, precisions, strict=True)
    ]


def _brevity(length: int, lengths: Sequence[int]) -> float:
    """BLEU's penalty for a caption shorter than the closest of the others."""
    import bisect

    place = bisect.bisect_left(lengths, length)
    others = [*lengths[max(0, place - 1) : place], *lengths[place + 1 : place + 2]]
    closest = min(others, key=lambda other: (abs(other - length), other))
    return 1.0 if length >= closest else math.exp(1 - closest / length)


def _grams(words: Sequence[str], n: int) -> list[Gram]:
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def _copied(words: Sequence[str], info: str) -> tuple[int, int]:
    """Runs of `GRAM` words that the text has as well, and all of them; none without a text."""
    known = set(_grams(plain_words(info), GRAM))
    grams = _grams(words, GRAM) if info.strip() else []
    return sum(gram in known for gram in grams), len(grams)


def _infos(record: Record, infos: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys(map(folded, (*record.concepts, *record.given)))
    return [infos[name] for name in names if name in infos]


def _place(record: Record) -> bytes:
    said = repr((record.task, record.prompt, record.caption)).encode(errors="replace")
    return hashlib.blake2b(said, digest_size=16).digest()

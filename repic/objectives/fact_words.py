"""Which words tell a photo from others, so that a reward can check what a caption says.

Two columns: `distinctive_words`, which are true of the photo and of few others; and
`distractor_words`, which describe other photos and nothing known in this one. The other photos are
those that negative pairs link to this one, so that a row does not change when unrelated photos are
added. Only where they give too few words, as in a split of a few photos, common words of train fill
up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from repic.config import SPLITS
from repic.objectives.corpus import Corpus, Flags, Ints, Lists

MAX_DISTRACTORS = 96
"""Maximum `distractor_words` of a row, so that it stays small."""

FEW_DISTRACTORS = 24
"""Words below which common ones of train fill up: few false words do not make guessing costly."""

COMMON = 0.5
"""Share of the other photos of train and the own split above which a word is not distinctive, as it
can be guessed without the image."""

FEWEST = 3
"""Distinctive words that a photo needs; fewer can be guessed, so its facts count as unknown."""

FREQUENT = 0.05
"""Share of the photos that have a frequent word."""

AT_ONCE = 512
"""Photos whose distractors are chosen at a time."""


class PhotoWords:
    """The words of all photos, collected photo by photo in their order."""

    def __init__(self) -> None:
        self._code: dict[str, int] = {}
        self._codes: list[Ints] = []
        self._described: list[bool] = []

    def add(self, words: Iterable[str], is_described: bool) -> None:
        """Add the words of the next photo."""
        codes = [self._code.setdefault(word, len(self._code)) for word in words]
        self._codes.append(np.array(codes, np.int32))
        self._described.append(is_described)

    def chooser(self, corpus: Corpus) -> FactWords:
        """Chooses words of the photos of a corpus, which are these photos."""
        start = np.cumsum([0, *map(len, self._codes)])
        words = Lists(start, np.concatenate([np.zeros(0, np.int32), *self._codes]))
        return FactWords.of(corpus, list(self._code), words, np.array(self._described, bool))


@dataclass(frozen=True)
class FactWords:
    """Chooses `distinctive_words` and `distractor_words`.

    Attributes:
        texts: The words, in the order of their hash, which does not depend on any photo.
        words: Of each photo, in the order of its texts.
        described: Whether each photo is described.
        counts: Of each split, in how many photos of train and of the split each word occurs. Words
            of train do not depend on other splits, which a few photos would make too common.
        photos: Number of these photos.
    """

    corpus: Corpus
    texts: list[str]
    words: Lists
    described: Flags
    counts: list[Ints]
    photos: list[int]
    _linked: tuple[Lists, Lists]

    @classmethod
    def of(cls, corpus: Corpus, texts: list[str], words: Lists, described: Flags) -> FactWords:
        """
        Args:
            texts: The words by their codes in `words`.
        """
        order = sorted(range(len(texts)), key=lambda code: _hash_order(texts[code]))
        rank = np.empty(len(texts), np.int64)
        rank[order] = np.arange(len(texts))
        words = Lists(words.start, rank[words.values])
        counts, photos = [], []
        for split in range(len(SPLITS)):
            among = (corpus.split == 0) | (corpus.split == split)
            _, of_split = words.of(np.flatnonzero(among))
            counts.append(np.bincount(of_split, minlength=len(texts)))
            photos.append(int(among.sum()))
        return cls(
            corpus, [texts[c] for c in order], words, described, counts, photos, _links(corpus)
        )

    def choose(self, photos: Ints) -> Iterator[tuple[list[str], list[str]]]:
        """The distinctive and the distractor words of each photo.

        Both are empty if the photo is not described, or if fewer than `FEWEST` words distinguish
        it.
        """
        for start in range(0, len(photos), AT_ONCE):
            block = photos[start : start + AT_ONCE]
            asked = np.flatnonzero(self.described[block] & (self.corpus.split[block] >= 0))
            others = self._others(block[asked])
            place = 0
            for i, photo in enumerate(block.tolist()):
                if place < len(asked) and asked[place] == i:
                    yield self._of(photo, others[place])
                    place += 1
                else:
                    yield [], []

    def _of(self, photo: int, others: Ints) -> tuple[list[str], list[str]]:
        split = int(self.corpus.split[photo])
        own = self.words.values[self.words.start[photo] : self.words.start[photo + 1]]
        most = 1 + COMMON * (self.photos[split] - 1)
        distinctive = own[self.counts[split][own] <= most]
        if len(distinctive) < FEWEST:
            return [], []
        others = np.setdiff1d(others, own, assume_unique=True)
        distractors = others[:MAX_DISTRACTORS]
        if (missing := FEW_DISTRACTORS - len(distractors)) > 0:
            least = max(2, FREQUENT * self.photos[split])
            frequent = np.flatnonzero(self.counts[split] >= least)
            more = frequent[~np.isin(frequent, np.concatenate([own, others]))]
            distractors = np.concatenate([distractors, more[:missing]])
        return [self.texts[w] for w in distinctive], [self.texts[w] for w in distractors]

    def _others(self, photos: Ints) -> list[Ints]:
        """Sorted words of the photos of absent objects and of their partners, for each photo."""
        absent, partners = self._linked
        row, strangers = absent.of(photos)
        again, more = partners.of(strangers)
        row, strangers = np.concatenate([row, row[again]]), np.concatenate([strangers, more])
        seen = np.unique(row * len(self.corpus.split) + self.corpus.photo[strangers])
        row, photo = np.divmod(seen, len(self.corpus.split))
        again, word = self.words.of(photo)
        found = np.unique(row[again] * len(self.texts) + word)
        row, word = np.divmod(found, max(1, len(self.texts)))
        return np.split(word, np.searchsorted(row, np.arange(1, len(photos))))


def _links(corpus: Corpus) -> tuple[Lists, Lists]:
    """Of each photo, the objects that negative pairs link to it; of each object, its partners."""
    ends = np.stack([corpus.anchor, corpus.other])
    both = [
        np.concatenate([e, e[::-1]], axis=1)
        for e in (ends[:, ~corpus.positive], ends[:, corpus.positive])
    ]
    negative, positive = both
    absent = Lists.by(corpus.photo[negative[0]], len(corpus.split), negative[1])
    return absent, Lists.by(positive[0], len(corpus.photo), positive[1])


def _hash_order(word: str) -> tuple[int, str]:
    """Sort key of a word by its hash, which does not depend on the photo that it comes from."""
    return crc32(word.encode("utf-8", "surrogatepass")), word

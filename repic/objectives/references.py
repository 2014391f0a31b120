"""Which references a query photo can have, for each kind of ICT row.

Only one kind is drawn per row, and a photo may have dozens of absent objects. So checking whether a
kind is possible is cheap, and its references are chosen only if it is drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from repic.config import ExampleSettings
from repic.images.coordinates import Box
from repic.objectives.base import SeededRandom, rank, seed_of
from repic.objectives.corpus import Corpus, Object, Pair, Photo
from repic.objectives.scene import choose_fact_words

MAX_OVERLAP = 0.1
"""Maximum IoU of two references that are crops of the query itself."""

NONE_SHARE = 1 / 3
"""Share of `which` rows whose object has no name: as likely as each of two names."""

CLEAR_OVERLAP = 0.5
"""Maximum IoU of the box in a `which` question and the box of another named object."""


@dataclass(frozen=True)
class ReferenceCandidate:
    """An object that may be a reference.

    Attributes:
        shown: The object whose crop is shown.
        pair: The pair that links it to the query; None for a crop of the query itself.
        in_query: The same object in the query; None if it is absent.
    """

    shown: Object
    pair: Pair | None
    in_query: Object | None

    @property
    def of_query(self) -> bool:
        """Whether its crop is one of the query itself."""
        return self.shown is self.in_query


@dataclass(frozen=True)
class ReferenceSelection:
    """The references of a row, and in a `which` row the object of the query to identify."""

    candidates: Sequence[ReferenceCandidate]
    target: Object | None = None


class ReferenceIndex:
    """The reference candidates of each query photo."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.partners: dict[str, list[ReferenceCandidate]] = defaultdict(list)
        self._negatives: dict[str, dict[str, Pair]] = defaultdict(dict)
        self._absent: dict[str, list[ReferenceCandidate]] = {}
        self._distinct_absent: dict[str, int] = {}
        self._distinct_present: dict[str, int] = {}
        self._fact_words: dict[str, tuple[list[str], list[str]]] = {}
        for pair in corpus.pairs:
            ends = corpus.objects[pair.anchor_id], corpus.objects[pair.other_id]
            for shown, other in (ends, ends[::-1]):
                if pair.kind == "positive":
                    self.partners[other.object_id].append(ReferenceCandidate(shown, pair, other))
                else:
                    self._negatives[other.image_id].setdefault(shown.object_id, pair)
        self.has_negatives = bool(self._negatives)

    def absent(self, query: Photo) -> list[ReferenceCandidate]:
        """Objects that negative pairs link to this photo, and that are certainly absent from it."""
        if query.image_id not in self._absent:
            negatives = self._negatives[query.image_id]
            self._absent[query.image_id] = [
                ReferenceCandidate(obj, pair, None)
                for obj, pair in ((self.corpus.objects[key], negatives[key]) for key in negatives)
                if self.corpus.is_absent(obj, query)
            ]
        return self._absent[query.image_id]

    def distinct_absent(self, query: Photo) -> int:
        """Number of groups among the `absent` objects."""
        if query.image_id not in self._distinct_absent:
            group = self.corpus.group
            groups = {group(candidate.shown.object_id) for candidate in self.absent(query)}
            self._distinct_absent[query.image_id] = len(groups)
        return self._distinct_absent[query.image_id]

    def distinct_present(self, query: Photo) -> int:
        """Number of groups of objects in this photo that have a partner in another photo."""
        if query.image_id not in self._distinct_present:
            objects = self.corpus.objects_of[query.image_id]
            ids = (obj.object_id for obj in objects if self.partners[obj.object_id])
            self._distinct_present[query.image_id] = len({self.corpus.group(i) for i in ids})
        return self._distinct_present[query.image_id]

    def fact_words(self, query: Photo) -> tuple[list[str], list[str]]:
        """The `distinctive_words` and `distractor_words` of a photo."""
        if query.image_id not in self._fact_words:
            negatives = self._negatives[query.image_id]
            objects = [self.corpus.objects[key] for key in negatives]
            objects += [partner.shown for key in negatives for partner in self.partners[key]]
            self._fact_words[query.image_id] = choose_fact_words(self.corpus, query, objects)
        return self._fact_words[query.image_id]


@dataclass(frozen=True)
class _Candidates:
    """The candidates of one row that is about an object, looked up when they are asked for."""

    index: ReferenceIndex
    query: Photo
    first: ReferenceCandidate
    seed: int

    def present(self) -> list[ReferenceCandidate]:
        find = _crops_of_query if self.first.of_query else _crops_of_other_photos
        return find(self.index, self.query, self.first, self.seed)

    def absent(self) -> list[ReferenceCandidate]:
        return absent_references(self.index, self.query, self.seed)

    def mixed(self, present: int, absent: int, most: int) -> list[ReferenceCandidate]:
        """As many present ones as there are, up to their number, and absent ones up to `most`."""
        references = self.present()[:present]
        return references + self.absent()[: min(absent, most - len(references))]

    def clear(self) -> list[ReferenceCandidate]:
        """All others that may stand beside the first in a `which` row."""
        return _clear_of(self.first, self.present()[1:] + self.absent())


def possible_selections(
    index: ReferenceIndex,
    query: Photo,
    first: ReferenceCandidate | None,
    seed: int,
    rng: SeededRandom,
    settings: ExampleSettings,
) -> dict[str, Callable[[], ReferenceSelection]]:
    """The kinds of rows that are possible for this photo, and a function that selects for each.

    Args:
        first: The candidate of the pair that the row is about, or the object of the query whose
            crop is its own reference; None for a photo without either.
    """
    most, selection = settings.ict.max_references, ReferenceSelection
    # All numbers are drawn here, so that the state of `rng` afterwards does not depend on the kind.
    count, present_count = rng.between(2, most), rng.between(1, most - 1)
    absent_count = rng.between(1, most)
    is_same_photo = rng.chance(settings.ict.same_photo_share) or (first and first.of_query)
    same_photo = _crops_of_query(index, query, first, seed)[:count] if is_same_photo else []
    if first is None:
        return {"multi": lambda: selection(same_photo)} if len(same_photo) >= 2 else {}
    of = _Candidates(index, query, first, seed)
    selections: dict[str, Callable[[], ReferenceSelection]] = {"single": lambda: selection([first])}
    if len(same_photo) >= 2:
        selections["multi"] = lambda: selection(same_photo)
    elif not first.of_query and index.distinct_present(query) >= 2:
        selections["multi"] = lambda: selection(of.present()[:count])
    if index.distinct_absent(query):
        selections["absent"] = lambda: selection(of.absent()[:absent_count])
        selections["mixed"] = lambda: selection(of.mixed(present_count, absent_count, most))
    # Absent objects have no box in the query, so two of them suffice without looking at boxes.
    if index.distinct_absent(query) >= 2 or len(of.clear()) >= 2:
        selections["which"] = lambda: _which(first, of.clear(), seed, most)
    return selections


def _clear_of(
    first: ReferenceCandidate, others: list[ReferenceCandidate]
) -> list[ReferenceCandidate]:
    """Candidates that are absent, or whose box does not overlap that of `first` too much."""
    assert first.in_query is not None
    box = Box(*first.in_query.box)
    return [
        other
        for other in others
        if other.in_query is None or box.iou(Box(*other.in_query.box)) <= CLEAR_OVERLAP
    ]


def _which(
    first: ReferenceCandidate, clear: list[ReferenceCandidate], seed: int, most: int
) -> ReferenceSelection:
    """Select for a question about the box of the first candidate, which may have no name.

    The number of references is the same whether or not it has a name, so that it gives nothing
    away; this needs two other candidates.
    """
    # Its own generator: the number of candidates must not change the rest of the row.
    rng = SeededRandom(seed_of(seed, "which"))
    others = sorted(clear, key=lambda other: _order(other, seed))
    count = min(rng.between(2, most), len(others))
    if rng.chance(NONE_SHARE):
        return ReferenceSelection(others[:count], first.in_query)
    return ReferenceSelection([first, *others[: count - 1]], first.in_query)


def _crops_of_other_photos(
    index: ReferenceIndex, query: Photo, first: ReferenceCandidate, seed: int
) -> list[ReferenceCandidate]:
    """The first candidate and one partner of each other object of the query."""
    partners = [
        min(index.partners[obj.object_id], key=lambda partner: _order(partner, seed))
        for obj in index.corpus.objects_of[query.image_id]
        if index.partners[obj.object_id]
    ]
    return [first, *_distinct(index, partners, seed, taken=[first])]


def _crops_of_query(
    index: ReferenceIndex, query: Photo, first: ReferenceCandidate | None, seed: int
) -> list[ReferenceCandidate]:
    """Crops of the query itself: complete objects that do not overlap, the first's own first."""
    objects = [obj for obj in index.corpus.objects_of[query.image_id] if not obj.cut]
    candidates = [ReferenceCandidate(obj, None, obj) for obj in objects]
    first_id = first.in_query.object_id if first and first.in_query else ""
    kept: list[ReferenceCandidate] = []
    distinct = _distinct(index, candidates, seed)
    for candidate in sorted(distinct, key=lambda c: c.shown.object_id != first_id):
        box = Box(*candidate.shown.box)
        if all(box.iou(Box(*other.shown.box)) <= MAX_OVERLAP for other in kept):
            kept.append(candidate)
    return kept


def absent_references(index: ReferenceIndex, query: Photo, seed: int) -> list[ReferenceCandidate]:
    """One candidate of each group that is certainly absent, in order of rank."""
    return _distinct(index, index.absent(query), seed)


def _distinct(
    index: ReferenceIndex,
    candidates: Sequence[ReferenceCandidate],
    seed: int,
    taken: Sequence[ReferenceCandidate] = (),
) -> list[ReferenceCandidate]:
    """Candidates in order of rank, one per group."""
    groups = {index.corpus.group(candidate.shown.object_id) for candidate in taken}
    kept = []
    for candidate in sorted(candidates, key=lambda c: _order(c, seed)):
        group = index.corpus.group(candidate.shown.object_id)
        if group not in groups:
            groups.add(group)
            kept.append(candidate)
    return kept


def _order(candidate: ReferenceCandidate, seed: int) -> tuple[int, str]:
    return rank(seed, candidate.shown.object_id), candidate.shown.object_id

"""Which references a query photo can have, for each kind of ICT row.

Only one kind is drawn per row, and a photo may have dozens of absent objects. So checking whether a
kind is possible is cheap, and its references are chosen only if it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from repic.config import ExampleSettings
from repic.images.coordinates import Box
from repic.objectives.base import SeededRandom, rank, seed_of
from repic.objectives.neighborhood import Neighborhood, Object, Pair

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
    """The reference candidates of a query photo.

    Attributes:
        partners: object_id of an object of the query -> the same object in other photos.
        absent: Objects that negative pairs link to the query, and that are certainly absent.
    """

    def __init__(self, near: Neighborhood) -> None:
        self.near = near
        self.partners: dict[str, list[ReferenceCandidate]] = {o.object_id: [] for o in near.own}
        absent: dict[str, ReferenceCandidate | None] = {}
        for pair in near.pairs:
            ends = pair.anchor_id, pair.other_id
            for shown, other in (ends, ends[::-1]):
                if other not in self.partners:
                    continue
                if pair.kind == "positive":
                    candidate = ReferenceCandidate(near.objects[shown], pair, near.objects[other])
                    self.partners[other].append(candidate)
                elif shown not in absent:
                    obj = near.objects[shown]
                    absent[shown] = ReferenceCandidate(obj, pair, None) if pair.absent else None
        self.absent = [candidate for candidate in absent.values() if candidate]

    @cached_property
    def distinct_absent(self) -> int:
        """Number of groups among the `absent` objects."""
        return len({candidate.shown.group for candidate in self.absent})

    @cached_property
    def distinct_present(self) -> int:
        """Number of groups of objects in this photo that have a partner in another photo."""
        return len({obj.group for obj in self.near.own if self.partners[obj.object_id]})


@dataclass(frozen=True)
class _Candidates:
    """The candidates of one row that is about an object, looked up when they are asked for."""

    index: ReferenceIndex
    first: ReferenceCandidate
    seed: int

    def present(self) -> list[ReferenceCandidate]:
        find = _crops_of_query if self.first.of_query else _crops_of_other_photos
        return find(self.index, self.first, self.seed)

    def absent(self) -> list[ReferenceCandidate]:
        return absent_references(self.index, self.seed)

    def mixed(self, present: int, absent: int, most: int) -> list[ReferenceCandidate]:
        """As many present ones as there are, up to their number, and absent ones up to `most`."""
        references = self.present()[:present]
        return references + self.absent()[: min(absent, most - len(references))]

    def clear(self) -> list[ReferenceCandidate]:
        """All others that may stand beside the first in a `which` row."""
        return _clear_of(self.first, self.present()[1:] + self.absent())


def possible_selections(
    index: ReferenceIndex,
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
    same_photo = _crops_of_query(index, first, seed)[:count] if is_same_photo else []
    if first is None:
        return {"multi": lambda: selection(same_photo)} if len(same_photo) >= 2 else {}
    of = _Candidates(index, first, seed)
    selections: dict[str, Callable[[], ReferenceSelection]] = {"single": lambda: selection([first])}
    if len(same_photo) >= 2:
        selections["multi"] = lambda: selection(same_photo)
    elif not first.of_query and index.distinct_present >= 2:
        selections["multi"] = lambda: selection(of.present()[:count])
    if index.distinct_absent:
        selections["absent"] = lambda: selection(of.absent()[:absent_count])
        selections["mixed"] = lambda: selection(of.mixed(present_count, absent_count, most))
    # Absent objects have no box in the query, so two of them suffice without looking at boxes.
    if index.distinct_absent >= 2 or len(of.clear()) >= 2:
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
    index: ReferenceIndex, first: ReferenceCandidate, seed: int
) -> list[ReferenceCandidate]:
    """The first candidate and one partner of each other object of the query."""
    partners = [
        min(index.partners[obj.object_id], key=lambda partner: _order(partner, seed))
        for obj in index.near.own
        if index.partners[obj.object_id]
    ]
    return [first, *_distinct(partners, seed, taken=[first])]


def _crops_of_query(
    index: ReferenceIndex, first: ReferenceCandidate | None, seed: int
) -> list[ReferenceCandidate]:
    """Crops of the query itself: complete objects that do not overlap, the first's own first."""
    objects = [obj for obj in index.near.own if not obj.cut]
    candidates = [ReferenceCandidate(obj, None, obj) for obj in objects]
    first_id = first.in_query.object_id if first and first.in_query else ""
    kept: list[ReferenceCandidate] = []
    distinct = _distinct(candidates, seed)
    for candidate in sorted(distinct, key=lambda c: c.shown.object_id != first_id):
        box = Box(*candidate.shown.box)
        if all(box.iou(Box(*other.shown.box)) <= MAX_OVERLAP for other in kept):
            kept.append(candidate)
    return kept


def absent_references(index: ReferenceIndex, seed: int) -> list[ReferenceCandidate]:
    """One candidate of each group that is certainly absent, in order of rank."""
    return _distinct(index.absent, seed)


def _distinct(
    candidates: Sequence[ReferenceCandidate],
    seed: int,
    taken: Sequence[ReferenceCandidate] = (),
) -> list[ReferenceCandidate]:
    """Candidates in order of rank, one per group."""
    groups = {candidate.shown.group for candidate in taken}
    kept = []
    for candidate in sorted(candidates, key=lambda c: _order(c, seed)):
        group = candidate.shown.group
        if group not in groups:
            groups.add(group)
            kept.append(candidate)
    return kept


def _order(candidate: ReferenceCandidate, seed: int) -> tuple[int, str]:
    return rank(seed, candidate.shown.object_id), candidate.shown.object_id

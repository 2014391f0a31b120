"""Which references a query photo can have: for each kind of ICT row, what to show and name.

One kind is drawn for a row, and a photo has dozens of strangers: a kind that is not drawn costs a
look at whether it can be made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from repic.config.build import Examples
from repic.images.coordinates import Box
from repic.objectives.base import Draw, rank, seed_of
from repic.objectives.corpus import Material, Object, Pair, Photo
from repic.objectives.scene import checkable

MAX_OVERLAP = 0.1
"""Largest IoU of two references that are crops of the query itself."""

NONE_SHARE = 1 / 3
"""`which` rows whose object has no name; as likely as each name where there are two."""

CLEAR_OVERLAP = 0.5
"""Largest IoU of the box that is asked about and the box of another named object."""


@dataclass(frozen=True)
class Reference:
    """A candidate: the object shown, the pair that it comes from, and itself in the query."""

    shown: Object
    pair: Pair | None
    in_query: Object | None


@dataclass(frozen=True)
class Choice:
    """References of a row, and in a `which` row the object of the query that is asked about."""

    references: Sequence[Reference]
    asked: Object | None = None


class Index:
    """Which references each query photo can have."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.partners: dict[str, list[Reference]] = defaultdict(list)
        self._strangers: dict[str, dict[str, Pair]] = defaultdict(dict)
        self._absent: dict[str, list[Reference]] = {}
        self._distinct_absent: dict[str, int] = {}
        self._distinct_present: dict[str, int] = {}
        self._checkable: dict[str, tuple[list[str], list[str]]] = {}
        for pair in material.pairs:
            ends = material.objects[pair.anchor_id], material.objects[pair.other_id]
            for shown, other in (ends, ends[::-1]):
                if pair.kind == "positive":
                    self.partners[other.object_id].append(Reference(shown, pair, other))
                else:
                    self._strangers[other.image_id].setdefault(shown.object_id, pair)

    def absent(self, query: Photo) -> list[Reference]:
        """Objects that negative pairs tie to this photo, and that are certainly not in it."""
        if query.image_id not in self._absent:
            found = self._strangers[query.image_id]
            self._absent[query.image_id] = [
                Reference(thing, pair, None)
                for thing, pair in ((self.material.objects[key], found[key]) for key in found)
                if self.material.is_absent(thing, query)
            ]
        return self._absent[query.image_id]

    def distinct_absent(self, query: Photo) -> int:
        """How many groups the objects that are `absent` are of."""
        if query.image_id not in self._distinct_absent:
            group = self.material.group
            shown = {group(reference.shown.object_id) for reference in self.absent(query)}
            self._distinct_absent[query.image_id] = len(shown)
        return self._distinct_absent[query.image_id]

    def distinct_present(self, query: Photo) -> int:
        """How many groups of objects in this photo have a partner in another."""
        if query.image_id not in self._distinct_present:
            things = self.material.objects_of[query.image_id]
            known = (t.object_id for t in things if self.partners[t.object_id])
            self._distinct_present[query.image_id] = len({self.material.group(i) for i in known})
        return self._distinct_present[query.image_id]

    def checkable(self, query: Photo) -> tuple[list[str], list[str]]:
        """Words that tell this photo from others; see `repic.objectives.scene.checkable`."""
        if query.image_id not in self._checkable:
            found = self._strangers[query.image_id]
            things = [self.material.objects[key] for key in found]
            things += [partner.shown for key in found for partner in self.partners[key]]
            self._checkable[query.image_id] = checkable(self.material, query, things)
        return self._checkable[query.image_id]


def options(
    index: Index,
    query: Photo,
    first: Reference | None,
    seed: int,
    draw: Draw,
    settings: Examples,
) -> dict[str, Callable[[], Choice]]:
    """The kinds that can be made about this photo, in their order, and how to make each.

    Args:
        first: The reference of the pair that the row is about; None for a photo without a pair.
    """
    most = settings.ict.max_references
    wanted, shown, others = draw.between(2, most), draw.between(1, most - 1), draw.between(1, most)
    options: dict[str, Callable[[], Choice]] = {}
    same = (
        _of_the_query(index, query, first, seed)[:wanted]
        if draw.chance(settings.ict.same_photo_share)
        else []
    )
    if first is None:
        return {"multi": lambda: Choice(same)} if len(same) >= 2 else {}

    def present() -> list[Reference]:
        return _of_other_photos(index, query, first, seed)

    def absent() -> list[Reference]:
        return _distinct(index, index.absent(query), seed)

    def mixed() -> Choice:
        seen = present()[:shown]
        return Choice(seen + absent()[: min(others, most - len(seen))])

    def clear() -> list[Reference]:
        return _clear(first, present()[1:] + absent())

    options["single"] = lambda: Choice([first])
    if len(same) >= 2:
        options["multi"] = lambda: Choice(same)
    elif index.distinct_present(query) >= 2:
        options["multi"] = lambda: Choice(present()[:wanted])
    if index.distinct_absent(query):
        options["absent"] = lambda: Choice(absent()[:others])
        options["mixed"] = mixed
    # A stranger has no box in the query, so none of them is in the way.
    if index.distinct_absent(query) >= 2 or len(clear()) >= 2:
        options["which"] = lambda: _which(first, clear(), seed, most)
    return options


def _clear(first: Reference, others: list[Reference]) -> list[Reference]:
    """Those whose box, if they have one, is apart from the one that is asked about."""
    assert first.in_query is not None
    box = Box(*first.in_query.box)
    return [
        other
        for other in others
        if other.in_query is None or box.iou(Box(*other.in_query.box)) <= CLEAR_OVERLAP
    ]


def _which(first: Reference, clear: list[Reference], seed: int, most: int) -> Choice:
    """Ask for the name at the box of the first reference's object, which may have none.

    As many references are shown whether or not it has one, so that their number tells nothing; so
    there must be two others.
    """
    # Chance of its own: how many there are to choose from must not change the rest of the row.
    draw = Draw(seed_of(seed, "which"))
    others = sorted(clear, key=lambda other: _place(other, seed))
    count = min(draw.between(2, most), len(others))
    if draw.chance(NONE_SHARE):
        return Choice(others[:count], first.in_query)
    return Choice([first, *others[: count - 1]], first.in_query)


def _of_other_photos(index: Index, query: Photo, first: Reference, seed: int) -> list[Reference]:
    """The first reference and one partner of each other object of the query."""
    found = [first]
    for thing in index.material.objects_of[query.image_id]:
        if partners := index.partners[thing.object_id]:
            found.append(min(partners, key=lambda partner: _place(partner, seed)))
    return found[:1] + _distinct(index, found[1:], seed, taken=found[:1])


def _of_the_query(
    index: Index, query: Photo, first: Reference | None, seed: int
) -> list[Reference]:
    """Crops of the query itself, in full view and apart from each other; the pair's own first."""
    things = [thing for thing in index.material.objects_of[query.image_id] if not thing.cut]
    candidates = [Reference(thing, None, thing) for thing in things]
    own = first.in_query.object_id if first and first.in_query else ""
    kept: list[Reference] = []
    distinct = _distinct(index, candidates, seed)
    for candidate in sorted(distinct, key=lambda c: c.shown.object_id != own):
        box = Box(*candidate.shown.box)
        if all(box.iou(Box(*other.shown.box)) <= MAX_OVERLAP for other in kept):
            kept.append(candidate)
    return kept


def _distinct(
    index: Index,
    candidates: Sequence[Reference],
    seed: int,
    taken: Sequence[Reference] = (),
) -> list[Reference]:
    """Candidates by rank, each of another group."""
    groups = {index.material.group(candidate.shown.object_id) for candidate in taken}
    kept = []
    for candidate in sorted(candidates, key=lambda c: _place(c, seed)):
        group = index.material.group(candidate.shown.object_id)
        if group not in groups:
            groups.add(group)
            kept.append(candidate)
    return kept


def _place(candidate: Reference, seed: int) -> tuple[int, str]:
    return rank(seed, candidate.shown.object_id), candidate.shown.object_id

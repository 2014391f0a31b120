"""Splits of photos.

A group is a labelled identity or a mined group. The hash of its name decides its split, so added
photos move no group to another split. In a small collection a split may be left without a group:
it then takes the one whose hash is nearest to it, from a split that has more, and keeps it until a
nearer group is added. A photo is in the split of its groups if they agree; near-duplicates count
as one photo. If groups disagree, the photo is not used. So no identity, mined group, photo or
near-duplicate is in two splits.

A source may say the split of a photo. A photo of validation or test is used there and nowhere
else. Its near-duplicates and the other photos of its groups are not used for training: those that
the source puts in train are not used, those of which it says nothing go to the same split. Only
what the source itself puts in both validation and test stays in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Set
from typing import Literal, cast

from repic.config import SplitSettings
from repic.mining.union_find import connected_components

Split = Literal["train", "validation", "test"]


def split_of(group: str, settings: SplitSettings) -> Split:
    """Split of a group by a hash of its name, where no split is left without one."""
    position = _position(group, settings)
    return next(s for s, (start, end) in _intervals(settings).items() if start <= position < end)


def split_photos(
    groups: Iterable[tuple[str, str]],
    clusters: Mapping[str, str],
    settings: SplitSettings,
    given: Mapping[str, str | None] | None = None,
) -> dict[str, Split | None]:
    """Split of each photo; None if its groups, or those of its near-duplicates, disagree.

    The near-duplicate cluster decides the split of a photo without groups.

    Args:
        groups: (photo, group) for each labelled object and each object of a mined group.
        clusters: Near-duplicate cluster of every photo.
        given: Splits that the source gives to photos; the others are absent or None.
    """
    said = {photo: cast(Split, split) for photo, split in (given or {}).items() if split}
    of_cluster = _strictest((clusters[photo], split) for photo, split in said.items())
    together: dict[str, set[str]] = {}
    for photo, group in groups:
        together.setdefault(clusters[photo], set()).add(group)
    fixed = _strictest(
        (group, of_cluster[cluster])
        for cluster, found in together.items()
        if cluster in of_cluster
        for group in found
    )
    place = {g: split_of(g, settings) for found in together.values() for g in found} | fixed
    _fill_empty_splits(place, together.values(), settings, fixed.keys(), set(of_cluster.values()))
    splits: dict[str, Split | None] = {}
    for photo, cluster in clusters.items():
        own = said.get(photo)
        if own in ("validation", "test"):
            splits[photo] = own
            continue
        candidates = {place[g] for g in together.get(cluster, ())}
        candidates |= {split for split in (own, of_cluster.get(cluster)) if split}
        candidates = candidates or {split_of(cluster, settings)}
        splits[photo] = candidates.pop() if len(candidates) == 1 else None
    return splits


def _strictest(splits: Iterable[tuple[str, Split]]) -> dict[str, Split]:
    """The strictest split of each name: test before validation before train."""
    order: tuple[Split, ...] = ("test", "validation", "train")
    found: dict[str, Split] = {}
    for name, split in splits:
        found[name] = min(split, found.get(name, "train"), key=order.index)
    return found


def _position(group: str, settings: SplitSettings) -> float:
    """A hash of the name, uniform in [0, 1)."""
    digest = hashlib.sha256(f"{settings.salt}\0{group}".encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _intervals(settings: SplitSettings) -> dict[Split, tuple[float, float]]:
    """The interval [start, end) of positions of each split."""
    reported = settings.test + settings.validation
    return {
        "test": (0.0, settings.test),
        "validation": (settings.test, reported),
        "train": (reported, 1.0),
    }


def _fill_empty_splits(
    place: dict[str, Split],
    together: Collection[set[str]],
    settings: SplitSettings,
    fixed: Set[str] = frozenset(),
    filled: Set[str] = frozenset(),
) -> None:
    """Move groups to splits that have a share, but no group that is used.

    Groups that share a photo move together, so that the photo stays usable: the fewest, and of
    these the nearest. A split keeps at least one group, and photos of no split stay so.

    Args:
        fixed: Groups that stay where they are.
        filled: Splits that have photos of the source, and need no group.
    """
    usable: dict[Split, set[str]] = {split: set() for split in _intervals(settings)}
    for found in together:
        if len({place[g] for g in found}) == 1:
            usable[place[next(iter(found))]] |= found
    for split, (start, end) in _intervals(settings).items():
        if start == end or usable[split] or split in filled:
            continue
        others = [groups for groups in usable.values() if groups]
        spare = [
            (len(linked), min(_distance(g, start, end, settings) for g in linked), sorted(linked))
            for linked in _linked(together)
            if linked <= set().union(*others) - fixed and all(groups - linked for groups in others)
        ]
        if not spare:
            continue
        moved = set(min(spare)[2])
        for groups in usable.values():
            groups -= moved
        usable[split] |= moved
        place |= dict.fromkeys(moved, split)


def _distance(group: str, start: float, end: float, settings: SplitSettings) -> float:
    position = _position(group, settings)
    return max(start - position, position - end, 0.0)


def _linked(together: Collection[set[str]]) -> list[set[str]]:
    """Groups that are linked by photos in which several of them are."""
    edges = [(min(found), group) for found in together for group in found]
    linked: dict[str, set[str]] = {}
    for group, first in connected_components([g for _, g in edges], edges).items():
        linked.setdefault(first, set()).add(group)
    return list(linked.values())

"""Splits of photos.

A group is a labelled identity or a mined group. The hash of its name decides its split, so added
photos move no group to another split. In a small collection a split may be left without a group:
it then takes the one whose hash is nearest to it, from a split that has more, and keeps it until a
nearer group is added. A photo is in the split of its groups if they agree; near-duplicates count
as one photo. If groups disagree, the photo is not used. So no identity, mined group, photo or
near-duplicate is in two splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from repic.config import SplitSettings
from repic.mining.union_find import connected_components

Split = Literal["train", "validation", "test"]


def split_of(group: str, settings: SplitSettings) -> Split:
    """Split of a group by a hash of its name, where no split is left without one."""
    position = _position(group, settings)
    return next(s for s, (start, end) in _intervals(settings).items() if start <= position < end)


def split_photos(
    groups: Iterable[tuple[str, str]], clusters: Mapping[str, str], settings: SplitSettings
) -> dict[str, Split | None]:
    """Split of each photo; None if its groups, or those of its near-duplicates, disagree.

    The near-duplicate cluster decides the split of a photo without groups.

    Args:
        groups: (photo, group) for each labelled object and each object of a mined group.
        clusters: Near-duplicate cluster of every photo.
    """
    together: dict[str, set[str]] = {}
    for photo, group in groups:
        together.setdefault(clusters[photo], set()).add(group)
    place = {g: split_of(g, settings) for found in together.values() for g in found}
    _fill_empty_splits(place, together.values(), settings)
    splits: dict[str, Split | None] = {}
    for photo, cluster in clusters.items():
        found = together.get(cluster)
        candidates = {place[g] for g in found} if found else {split_of(cluster, settings)}
        splits[photo] = candidates.pop() if len(candidates) == 1 else None
    return splits


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
    place: dict[str, Split], together: Collection[set[str]], settings: SplitSettings
) -> None:
    """Move groups to splits that have a share, but no group that is used.

    Groups that share a photo move together, so that the photo stays usable: the fewest, and of
    these the nearest. A split keeps at least one group, and photos of no split stay so.
    """
    usable: dict[Split, set[str]] = {split: set() for split in _intervals(settings)}
    for found in together:
        if len({place[g] for g in found}) == 1:
            usable[place[next(iter(found))]] |= found
    for split, (start, end) in _intervals(settings).items():
        if start == end or usable[split]:
            continue
        others = [groups for groups in usable.values() if groups]
        spare = [
            (len(linked), min(_distance(g, start, end, settings) for g in linked), sorted(linked))
            for linked in _linked(together)
            if linked <= set().union(*others) and all(groups - linked for groups in others)
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

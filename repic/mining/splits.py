"""Splits of photos.

A group is a labelled identity or a mined group. The hash of its name decides its split, so added
photos never move a group to another split. A photo is in the split of its groups if they agree;
near-duplicates count as one photo. If groups disagree, the photo is not used. So no identity, mined
group, photo or near-duplicate is in two splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

from repic.config import SplitSettings

Split = Literal["train", "validation", "test"]


def split_of(group: str, settings: SplitSettings) -> Split:
    """Split of a group, by a hash of its name, uniform in [0, 1)."""
    digest = hashlib.sha256(f"{settings.salt}\0{group}".encode("utf-8", "surrogatepass")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < settings.test:
        return "test"
    if position < settings.test + settings.validation:
        return "validation"
    return "train"


def split_photos(
    groups: Iterable[tuple[str, str]], clusters: Mapping[str, str], settings: SplitSettings
) -> dict[str, Split | None]:
    """Split of each photo; None if its groups, or those of its near-duplicates, disagree.

    The near-duplicate cluster decides the split of a photo without groups.

    Args:
        groups: (photo, group) for each labelled object and each object of a mined group.
        clusters: Near-duplicate cluster of every photo.
    """
    seen: dict[str, set[Split]] = {}
    for photo, group in groups:
        seen.setdefault(clusters[photo], set()).add(split_of(group, settings))
    splits: dict[str, Split | None] = {}
    for photo, cluster in clusters.items():
        candidates = seen.get(cluster) or {split_of(cluster, settings)}
        splits[photo] = next(iter(candidates)) if len(candidates) == 1 else None
    return splits

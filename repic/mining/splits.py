"""Which split a photo is in.

A group is a labelled identity or a set of objects mined to be one. Its split is drawn from the hash
of its name, so that adding photos never moves a group to another split. A photo takes the split of
its groups if they agree, and its near-duplicates count as the same photo; where groups disagree the
photo is used nowhere. So no identity, no mined group, no photo and no near-duplicate crosses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal

from repic.config import SplitSettings

Split = Literal["train", "validation", "test"]


def split_of(group: str, settings: SplitSettings) -> Split:
    """Split of a group, by a hash of its name that is uniform in [0, 1)."""
    digest = hashlib.sha256(f"{settings.salt}\0{group}".encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < settings.test:
        return "test"
    if place < settings.test + settings.validation:
        return "validation"
    return "train"


def split_photos(
    groups: Iterable[tuple[str, str]], clusters: Mapping[str, str], settings: SplitSettings
) -> dict[str, Split | None]:
    """Split of each photo; None where its groups, or those of its near-duplicates, disagree.

    A photo without a group takes the split of its near-duplicate cluster.

    Args:
        groups: (photo, group) for each labelled object and each object of a mined group.
        clusters: Photo -> its near-duplicate cluster, for every photo.
    """
    seen: dict[str, set[Split]] = {}
    for photo, group in groups:
        seen.setdefault(clusters[photo], set()).add(split_of(group, settings))
    splits: dict[str, Split | None] = {}
    for photo, cluster in clusters.items():
        found = seen.get(cluster) or {split_of(cluster, settings)}
        splits[photo] = next(iter(found)) if len(found) == 1 else None
    return splits

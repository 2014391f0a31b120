"""Steps of a reviewer that an earlier studio published, out of the versions of `reviews`.

What a studio takes back is published as well: a version that restores the decisions before a step
ends that step, and is not one itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from repic.pipeline import reviews
from repic.pipeline.reviews import Decision, Key
from storage import refs
from storage.errors import NotFoundError
from storage.manifest import ArtifactRef
from storage.store import Store

VERSIONS = 50
"""Versions of the table that are looked at."""

SNAPSHOTS = 500
"""Moves of any name among which they are looked for."""

Own = Mapping[Key, Decision]
"""All decisions of a reviewer at some time."""


def earlier_steps(store: Store, reviewer: str) -> list[tuple[Mapping[str, Any], ...]]:
    """The changes that would take each step of a reviewer back, the last step at the end.

    Raises:
        storage.errors.StoreError: the store cannot be read.
    """
    standing: list[Own] = []
    for own in _states(store, reviewer):
        if len(standing) > 1 and standing[-2] == own:
            standing.pop()
        elif not standing or standing[-1] != own:
            standing.append(own)
    return [_back(after, before) for before, after in pairwise(standing)]


def _states(store: Store, reviewer: str) -> Iterator[Own]:
    """Decisions of a reviewer in the last versions, the oldest first."""
    found: list[Own] = []
    for number in _versions(store):
        if number is None:
            found.append({})
            break
        try:
            rows = store.read(ArtifactRef.exact("reviews", number)).to_pylist()
        except NotFoundError:  # removed since: what was decided before it is not known
            break
        found.append({reviews.key_of(row): row for row in rows if row["reviewer"] == reviewer})
    return reversed(found)


def _versions(store: Store) -> Iterator[int | None]:
    """Numbers of the last versions, newest first; None before anybody decided."""
    last, seen = 0, 0
    numbers = refs.numbers(store.files)[: -SNAPSHOTS - 1 : -1]
    for number in numbers:
        with suppress(FileNotFoundError):  # gc removed it meanwhile
            version = refs.read(store.files, number).of("reviews").latest
            if version != last:
                yield version
                last, seen = version or 0, seen + 1
            if version is None or seen > VERSIONS:
                return
    if numbers and numbers[-1] == 1:
        yield None


def _back(after: Own, before: Own) -> tuple[Mapping[str, Any], ...]:
    keys = sorted(key for key in after.keys() | before.keys() if after.get(key) != before.get(key))
    return tuple(before.get(key) or {**after[key], "decision": ""} for key in keys)

"""Which few of many to show: always the same ones, and unlike each other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(items: Sequence[T], count: int) -> list[T]:
    """`count` of the items at even distances, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[len(items) // 2]]
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


def varied(items: Iterable[T], count: int, parts: Callable[[T], Iterable[Hashable]]) -> list[T]:
    """The first `count` items that share no part with an earlier one; then the first others.

    The result keeps the order of the items.
    """
    fresh: list[tuple[int, T]] = []
    other: list[tuple[int, T]] = []
    seen: set[Hashable] = set()
    for place, item in enumerate(items):
        own = set(parts(item))
        if seen.isdisjoint(own):
            seen |= own
            fresh.append((place, item))
            if len(fresh) == count:
                break
        elif len(other) < count:
            other.append((place, item))
    chosen = fresh + other[: count - len(fresh)]
    return [item for _, item in sorted(chosen, key=lambda entry: entry[0])]

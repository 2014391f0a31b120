"""Reading captions on all cores, in order, with few of them in memory."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

CHUNK = 2_000
"""Items that a process gets at once."""

_work: Callable[[Any], Any]


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def each(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """`map(work, items)`, by so many processes; one is this one.

    Args:
        work: Something that can be pickled; once per process.
    """
    if workers < 2:
        yield from map(work, items)
        return
    # Not forked: libraries of ours hold locks in threads.
    context = multiprocessing.get_context("spawn")
    left = iter(items)
    with ProcessPoolExecutor(workers, context, _begin, (work,)) as pool:
        waiting: deque[Future[list[R]]] = deque()
        while (chunk := list(islice(left, CHUNK))) or waiting:
            if chunk:
                waiting.append(pool.submit(_all_of, chunk))
            if len(waiting) > 2 * workers or not chunk:
                yield from waiting.popleft().result()


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work


def _all_of(chunk: list[Any]) -> list[Any]:
    return [_work(item) for item in chunk]

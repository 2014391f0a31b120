"""A parallel, ordered `map` over a stream that holds few items in memory."""

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
"""Items per task of a worker process."""

_function: Callable[[Any], Any]


def usable_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel_map(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Like `map(function, items)`, computed by `workers` processes; in this process if below 2.

    Args:
        function: Must be picklable; it is sent to each process once.
    """
    if workers < 2:
        yield from map(function, items)
        return
    # Spawn, not fork: libraries that we use hold locks in threads.
    context = multiprocessing.get_context("spawn")
    remaining = iter(items)
    with ProcessPoolExecutor(workers, context, _initialize, (function,)) as pool:
        pending: deque[Future[list[R]]] = deque()
        while (chunk := list(islice(remaining, CHUNK))) or pending:
            if chunk:
                pending.append(pool.submit(_apply, chunk))
            if len(pending) > 2 * workers or not chunk:
                yield from pending.popleft().result()


def _initialize(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function


def _apply(chunk: list[Any]) -> list[Any]:
    return [_function(item) for item in chunk]

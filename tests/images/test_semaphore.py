"""The semaphore never holds more than its size, and every request is served."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

from hypothesis import given, settings
from hypothesis import strategies as st

from repic.images.semaphore import WeightedSemaphore


@settings(max_examples=25)
@given(st.lists(st.integers(0, 15), min_size=1, max_size=24))
def test_never_more_than_there_is_at_once(amounts: list[int]) -> None:
    semaphore, size, lock, now = WeightedSemaphore(10), 10, Lock(), [0]
    most: list[int] = []

    def hold(amount: int) -> None:
        with semaphore.acquire(amount):
            with lock:
                now[0] += min(amount, size)
                most.append(now[0])
            time.sleep(0.0005)
            with lock:
                now[0] -= min(amount, size)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, amounts))
    assert len(most) == len(amounts)
    assert max(most) <= size


def test_who_is_too_large_is_alone_and_is_not_kept_waiting() -> None:
    semaphore, order = WeightedSemaphore(10), []
    inside, leave = Event(), Event()

    def first() -> None:
        with semaphore.acquire(4):
            inside.set()
            leave.wait(60)

    def hold(amount: int) -> None:
        with semaphore.acquire(amount):
            order.append(amount)

    with ThreadPoolExecutor(3) as pool:
        held = pool.submit(first)
        assert inside.wait(60)
        large = pool.submit(hold, 99)
        while not semaphore._turn.locked():  # until the large one waits
            time.sleep(0.001)
        small = pool.submit(hold, 1)
        time.sleep(0.05)
        assert order == []  # the small one would fit, and waits its turn
        leave.set()
        for work in (held, large, small):
            work.result(60)
    assert order == [99, 1]


def test_room_is_given_back_after_an_error() -> None:
    semaphore = WeightedSemaphore(3)
    for _ in range(5):
        try:
            with semaphore.acquire(3):
                raise OSError("unreadable")
        except OSError:
            pass
    with semaphore.acquire(3):
        pass

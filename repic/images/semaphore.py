"""A semaphore for a resource of which callers take different amounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class WeightedSemaphore:
    """At most `size` units are held at a time; a request above `size` waits to be alone.

    Requests are served in order, so small requests do not delay a large one.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._held = 0
        self._turn = Lock()
        self._changed = Condition()

    @contextmanager
    def acquire(self, amount: int) -> Iterator[None]:
        """Hold `amount` units within the context; waits until they are free."""
        amount = min(amount, self.size)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._held + amount <= self.size)
            self._held += amount
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()

"""Room that threads share: so much of something at once, whoever it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class WeightedSemaphore:
    """At most `size` of something at a time; what is larger than that waits to be alone.

    Who came first is served first, so that a large one is not kept waiting by small ones.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._taken = 0
        self._first = Lock()
        self._changed = Condition()

    @contextmanager
    def acquire(self, amount: int) -> Iterator[None]:
        """Wait for so much room, and hold it."""
        amount = min(amount, self.size)
        with self._first, self._changed:
            self._changed.wait_for(lambda: self._taken + amount <= self.size)
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()

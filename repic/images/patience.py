"""How often and how long a server that asks for patience is asked again.

A server that limits the rate, or that is down for a moment, is asked again after a pause that
doubles, or after the time that it gives (Retry-After). All pauses of one picture are bounded. A
server that failed for several pictures in a row is asked once per picture, until it answers again:
most servers of an old data set that do not answer are gone, and each has many pictures.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

T = TypeVar("T")

PAUSES = (1.0, 2.0, 4.0)
"""Seconds before the second attempt and each further one, times a random number of 0.5 to 1."""
MAX_PAUSE_SECONDS = 30.0
"""Maximum sum of the pauses of one picture."""
FAILURES = 3
"""Pictures in a row that a server failed for, after which it is asked once for each."""

sleep = time.sleep

_lock = threading.Lock()
_failed: defaultdict[str, int] = defaultdict(int)
"""Host -> pictures in a row that it failed for."""


class AgainError(Exception):
    """An attempt that failed and may succeed later.

    Attributes:
        wait: Seconds after which the server wants to be asked again, if it says so.
        tries: Attempts that are worth their time.
    """

    def __init__(
        self, message: str, wait: float | None = None, tries: int = len(PAUSES) + 1
    ) -> None:
        super().__init__(message)
        self.wait, self.tries = wait, tries


def attempts(host: str, attempt: Callable[[], T]) -> T:
    """The result of `attempt`, which is repeated while it raises an `AgainError`.

    Raises:
        AgainError: of the last attempt.
    """
    left = MAX_PAUSE_SECONDS
    for number, pause in enumerate((*PAUSES, 0.0), start=1):
        try:
            result = attempt()
        except AgainError as error:
            seconds = pause * random.uniform(0.5, 1) if error.wait is None else error.wait
            worthwhile = number < error.tries and seconds <= left and _failed[host] < FAILURES
            if number > len(PAUSES) or not worthwhile:
                _count(host, failed=True)
                raise
            left -= seconds
            sleep(seconds)
        else:
            _count(host, failed=False)
            return result
    raise AssertionError("unreachable")


def retry_after(value: str | None) -> float | None:
    """Seconds of a header Retry-After, which is a number or a date; None if it is neither."""
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def forget() -> None:
    """Forget the failures of all servers."""
    with _lock:
        _failed.clear()


def _count(host: str, failed: bool) -> None:
    with _lock:
        _failed[host] = _failed[host] + 1 if failed else 0

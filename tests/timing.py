"""Time limits that hold on a slow or busy machine too: seconds of the machine of the limits."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Callable

REFERENCE = 0.02
"""CPU seconds of `_yardstick` on the machine of the limits. A quicker machine gets no less."""


def is_within(seconds: float, action: Callable[[], object], tries: int = 8) -> bool:
    """Whether a run takes no more CPU time than this, on the machine of the limits.

    What else runs does not count in CPU time, but it slows even that down, for a while. So the
    first run within the limit decides, and a later one may; what is too slow never is within it.
    """
    return any(is_quick(seconds, cpu(action)) for _ in range(tries))


def is_quick(seconds: float, taken: float) -> bool:
    """Whether the CPU seconds of a run are within a limit of the machine of the limits."""
    return taken < seconds or taken / slowness() < seconds


def slowness() -> float:
    """How many times slower than the machine of the limits this one is now; at least 1."""
    return max(1.0, cpu(_yardstick) / REFERENCE)


def cpu(action: Callable[[], object]) -> float:
    """CPU seconds of a run."""
    start = time.process_time()
    action()
    return time.process_time() - start


def cpu_of_children(action: Callable[[], object]) -> float:
    """CPU seconds of the processes that a run starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _yardstick() -> None:
    """What a reward does: a pattern over a long text, and plain Python."""
    re.search("yes|no", "n" * 250_000)
    sum(len(str(number)) for number in range(60_000))

"""Time limits that hold on a slow machine too: seconds of the machine for which they were set."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

REFERENCE = 0.02
"""CPU seconds of `_yardstick` on the machine of the limits. A quicker machine gets no less."""


def quickest(action: Callable[[], object], tries: int = 3) -> float:
    """CPU seconds of the best of several runs, divided by how slow the machine is beside them.

    What else runs does not count in CPU time, but it slows even that down, for a while: the
    yardstick is taken again with each run.
    """
    return min(_cpu(action) / slowness() for _ in range(tries))


def slowness() -> float:
    """How many times slower than the machine of the limits this one is now; at least 1."""
    return max(1.0, _cpu(_yardstick) / REFERENCE)


def _cpu(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _yardstick() -> None:
    """What a reward does: a pattern over a long text, and plain Python."""
    re.search("yes|no", "n" * 250_000)
    sum(len(str(number)) for number in range(60_000))

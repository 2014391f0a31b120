"""A bound on what a server logs.

Without it, a fault that a client can repeat would fill a disk, or a pipe that nobody reads, on
which the server would then wait for ever.
"""

from __future__ import annotations

import logging
import time

MOST = 10
"""Messages per minute."""

LONGEST = 4_000
"""Characters of a message with its traceback."""


class LogLimit(logging.Filter):
    """Lets some messages per minute pass; the next one that passes tells how many did not."""

    def __init__(self, most: int = MOST, seconds: float = 60.0) -> None:
        super().__init__()
        self._most, self._seconds = most, seconds
        self._since, self._seen = float("-inf"), 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        left_out = 0
        if now - self._since >= self._seconds:
            left_out = max(0, self._seen - self._most)
            self._since, self._seen = now, 0
        self._seen += 1
        if self._seen > self._most:
            return False
        text = logging.Formatter().format(record)[-LONGEST:]
        record.msg = f"{text} ({left_out} messages before it left out)" if left_out else text
        record.args, record.exc_info, record.exc_text, record.stack_info = (), None, None, None
        return True


def bound_logs() -> None:
    """Bound the messages of this process, once its handlers are set up."""
    limit = LogLimit()
    handlers = [*logging.getLogger().handlers, *logging.getLogger("uvicorn").handlers]
    if logging.lastResort:
        handlers.append(logging.lastResort)
    for handler in handlers:
        handler.addFilter(limit)

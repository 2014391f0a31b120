"""A server's log has a bound."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from repic.web.logs import LONGEST, LogLimit


@contextmanager
def bounded(limit: LogLimit) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(limit)
    logger = logging.Logger("bounded")
    logger.addHandler(handler)
    yield logger, stream


def test_the_first_messages_of_a_minute_pass() -> None:
    with bounded(LogLimit(most=3)) as (logger, stream):
        for number in range(1000):
            logger.error("message %d", number)
    assert stream.getvalue() == "message 0\nmessage 1\nmessage 2\n"


def test_the_next_minute_tells_how_many_were_left_out() -> None:
    limit = LogLimit(most=1)
    with bounded(limit) as (logger, stream):
        for number in range(5):
            logger.error("message %d", number)
        limit._since -= 61
        logger.error("later")
    assert stream.getvalue() == "message 0\nlater (4 messages before it left out)\n"


def test_a_long_traceback_keeps_its_end() -> None:
    with bounded(LogLimit()) as (logger, stream):
        try:
            raise ValueError("x" * 100_000 + "the end")
        except ValueError:
            logger.exception("broken")
    assert len(stream.getvalue()) == LONGEST + 1
    assert stream.getvalue().endswith("the end\n")

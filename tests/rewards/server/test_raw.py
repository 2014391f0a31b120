"""Raw sockets against a service: it answers at once afterwards, keeps its memory, and ends."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rewards.server.raw import hostile_requests
from tests.rewards.server.test_serve import answers, children, service

COUNT = int(os.environ.get("REPIC_FUZZED_REQUESTS", "1500"))
SECRET = "s3cret"
HALF = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\n"


def megabytes(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
def test_hostile_requests_do_no_harm(record_property: Callable[[str, int], None]) -> None:
    record_property("faults", COUNT)
    with service("--max-bytes=1048576", REPIC_REWARD_TOKEN=SECRET) as (url, process):
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        [worker] = children(process.pid)
        hostile_requests(address, SECRET, 300, seed=1)
        before = megabytes(worker)
        replies = hostile_requests(address, SECRET, COUNT, seed=2)
        started = time.monotonic()
        assert answers(url)
        assert time.monotonic() - started < 2
        assert megabytes(worker) - before < 50
        assert children(process.pid) == [worker]
        assert {"200", "400", "403", "415", "422"} <= replies.keys(), replies
        assert not [status for status in replies if status.startswith("5")], replies
    assert process.returncode == 0


@pytest.mark.slow
def test_half_sent_requests_lock_nobody_out() -> None:
    """More than the connections of a worker, and more than its bytes of bodies."""
    halves = (b"", HALF, HALF + b"Content-Length: 1000000\r\n\r\n" + b"x" * 900_000)
    with service(REPIC_REWARD_TOKEN=SECRET) as (url, process):
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        [worker] = children(process.pid)
        clients = []
        for number in range(600):
            client = socket.create_connection(address, timeout=10)
            clients.append(client)
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.send(halves[number % 3])
        started = time.monotonic()
        assert answers(url)
        assert time.monotonic() - started < 2
        assert megabytes(worker) < 1500
        for client in clients:
            client.close()
        assert answers(url)
    assert process.returncode == 0

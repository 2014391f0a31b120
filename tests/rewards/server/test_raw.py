"""Raw sockets against a service: it answers at once afterwards, keeps its memory, and ends."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from repic.web.connections import HEAD_SECONDS
from tests.rewards.server.raw import EXPECTED, KINDS, LIMIT, hostile_requests
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
    """And valid requests among them are answered as always."""
    record_property("faults", COUNT)
    with service(f"--max-bytes={LIMIT}", REPIC_REWARD_TOKEN=SECRET) as (url, process):
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        [worker] = children(process.pid)
        hostile_requests(address, SECRET, 300, seed=1)
        before, started = megabytes(worker), time.monotonic()
        replies = hostile_requests(address, SECRET, COUNT, seed=2)
        seconds = time.monotonic() - started
        growth = megabytes(worker) - before
        started = time.monotonic()
        assert answers(url)
        waited = time.monotonic() - started
        print(
            f"{COUNT} requests in {seconds:.0f} s, memory +{growth:.0f} MB, health {waited:.3f} s"
        )
        print(*sorted(replies.items()), sep="\n")
        assert waited < HEAD_SECONDS, "it waits for clients that stopped"
        assert growth < 50
        assert children(process.pid) == [worker]
        for kind, statuses in EXPECTED.items():
            assert {status for name, status in replies if name == kind} <= statuses, replies
        assert {kind for kind, _ in replies} == set(KINDS)
        assert not [status for _, status in replies if status.startswith("5")], replies
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
            client = socket.create_connection(address, timeout=60)
            clients.append(client)
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.send(halves[number % 3])
        started = time.monotonic()
        assert answers(url)
        assert time.monotonic() - started < HEAD_SECONDS, "it waits for clients that stopped"
        assert megabytes(worker) < 1500
        for client in clients:
            client.close()
        assert answers(url)
    assert process.returncode == 0

"""Limits of connections, on real sockets: slow and idle clients do not lock others out."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from repic.rewards.server.app import Limits
from repic.web import connections
from tests.rewards.server.workers import worker

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF_SENT = {
    "nothing": b"",
    "half a head": b"POST /v1/score HTTP/1.1\r\nHost: localh",
    "half a body": b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n{",
    "half a chunk": b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nff\r\n{",
    "body of a refused request": b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 9000\r\n\r\n{",
    "nothing after a reply": HEALTH,
}

PATIENCE = 60
"""Seconds for which a client of a test waits on a busy machine."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Address of a worker that waits half a second, with room for ten connections."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(connections, "MOST", 10)
    with worker(limits=Limits(body_seconds=0.5)) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


def is_healthy(address: tuple[str, int]) -> bool:
    with socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(HEALTH)
        return client.recv(100).startswith(b"HTTP/1.1 200")


def received(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    text = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 16):
            text += part
    return bytes(text)


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT)
def test_a_client_that_stops_is_disconnected(impatient: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(impatient, timeout=PATIENCE) as client:
        client.sendall(sent)
        reply = received(client)
    assert reply.startswith(b"HTTP/1.1 408") is (sent.endswith(b"{") and b"score" in sent)
    assert is_healthy(impatient)


@pytest.mark.parametrize("part", [b"X", b"X-A: b\r\n"])
def test_a_head_that_drips_is_cut_off(impatient: tuple[str, int], part: bytes) -> None:
    """The client would go on for ever."""

    def drip(client: socket.socket) -> None:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        while True:
            client.sendall(part)
            time.sleep(0.05)

    with (
        socket.create_connection(impatient, timeout=PATIENCE) as client,
        pytest.raises(ConnectionError),
    ):
        drip(client)


def test_a_head_is_bounded(impatient: tuple[str, int]) -> None:
    with (
        socket.create_connection(impatient, timeout=PATIENCE) as client,
        contextlib.suppress(OSError),
    ):
        for _ in range(100):
            client.sendall(b"GET /healthz HTTP/1.1\r\nX-A: " + b"x" * 10_000)
        assert received(client).startswith(b"HTTP/1.1 400")
    assert is_healthy(impatient)


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT)
def test_waiting_clients_give_way_to_new_ones(
    impatient: tuple[str, int], sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 10 * PATIENCE)  # time frees no connection
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(socket.create_connection(impatient, timeout=PATIENCE))
            client.sendall(sent)
        assert is_healthy(impatient)


@pytest.mark.slow
def test_requests_on_one_connection_are_answered_in_turn(
    impatient: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for longer than a head may take: each request has its own time."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 3)
    with contextlib.closing(http.client.HTTPConnection(*impatient)) as client:
        started = time.monotonic()
        while time.monotonic() - started < 1.2 * connections.HEAD_SECONDS:
            time.sleep(0.1)
            client.request("GET", "/healthz")
            assert client.getresponse().read()
        assert client.sock is not None
        client.sock.sendall(HEALTH * 5)
        assert received(client.sock).count(b"HTTP/1.1 200") == 5


def test_a_client_that_leaves_is_no_error(
    impatient: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    gone = partial(counted, impatient, "/v1/score", 499)
    before, errors = gone(), counted(impatient, "/v1/score", 500)
    with socket.create_connection(impatient, timeout=PATIENCE) as client:
        client.sendall(HALF_SENT["half a body"])
        time.sleep(0.1)
    deadline = time.monotonic() + PATIENCE
    while gone() == before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert gone() == before + 1
    assert counted(impatient, "/v1/score", 500) == errors
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def counted(address: tuple[str, int], path: str, status: int) -> float:
    """Requests that the worker has counted."""
    text = httpx.get(f"http://{address[0]}:{address[1]}/metrics").text
    start = f'repic_reward_requests_total{{path="{path}",status="{status}"}} '
    return sum(float(li.removeprefix(start)) for li in text.splitlines() if li.startswith(start))

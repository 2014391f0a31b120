"""The limits and names of docs/reward-workers.md, of a service as the command line starts it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from pathlib import Path

import pytest

from repic.rewards import bounds
from repic.rewards.adapters import query
from repic.rewards.server import serve
from repic.rewards.server.app import Limits
from repic.rewards.server.client import RetryPolicy
from repic.web import connections
from tests.rewards.server.test_serve import answers, service

ROOT = Path(__file__).parents[3]
SECRET = "s3cret"
HEAD = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
ROW = {"completion": "yes", "row": {"objective": "oct", "answer": "yes"}}


def status(url: str, host: str, body: bytes) -> int:
    """Status of a request with the token under a name of the service."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    headers = {"Host": host, "Authorization": f"Bearer {SECRET}"}
    connection.request("POST", "/v1/score", body, headers)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def rows(count: int, text: str = "yes") -> bytes:
    return json.dumps({"rows": [{**ROW, "completion": text}] * count}).encode()


def test_the_page_gives_the_limits() -> None:
    page = " ".join((ROOT / "docs/reward-workers.md").read_text(encoding="utf-8").split())
    for text in (
        f"its body arrives within {Limits().body_seconds:g} seconds",
        f"of its next request within {connections.HEAD_SECONDS:g} seconds",
        f"Of more than {connections.MOST} connections",
        f"not answer within {serve.HEALTH_CHECK} seconds",
        f"at most {bounds.MAX_ENTRIES['references']} references",
        f"{bounds.MAX_ENTRIES['scene']} objects and {bounds.MAX_TEXT:,} characters",
        f"complete within {RetryPolicy().seconds:g} seconds",
        f"at most {RetryPolicy().reply >> 20} MiB",
    ):
        assert text in page, text
    assert (RetryPolicy().seconds, RetryPolicy().reply) == (query.SECONDS, query.MAX_REPLY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "accepted", "refused"),
    [
        ((), ["localhost", "127.0.0.1:9"], ["rewards.example", "evil.example"]),
        (("--allow-host=rewards.example",), ["rewards.example", "localhost"], ["evil.example"]),
        (("--host=0.0.0.0",), ["rewards.example", "evil.example"], []),
        (
            ("--host=0.0.0.0", "--allow-host=a.example", "--allow-host=b.example"),
            ["a.example:8899", "b.example", "127.0.0.1"],
            ["evil.example"],
        ),
    ],
    ids=["here", "here and a name", "everywhere", "everywhere by name"],
)
def test_names_of_a_service(
    options: tuple[str, ...], accepted: list[str], refused: list[str]
) -> None:
    with service(*options, REPIC_REWARD_TOKEN=SECRET) as (url, _):
        assert [status(url, name, rows(1)) for name in accepted] == [200] * len(accepted)
        assert [status(url, name, rows(1)) for name in refused] == [421] * len(refused)


@pytest.mark.slow
def test_limits_of_the_command_line() -> None:
    with service("--max-rows=2", "--max-bytes=2000", REPIC_REWARD_TOKEN=SECRET) as (url, _):
        assert status(url, "localhost", rows(2)) == 200
        assert status(url, "localhost", rows(3)) == 413
        assert status(url, "localhost", rows(1, "x" * 2000)) == 413


@pytest.mark.slow
def test_limits_of_time_and_connections() -> None:
    with service() as (url, process):
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        half_body = HEAD + b"Content-Length: 99\r\n\r\n{"
        ended: dict[str, tuple[float, bytes]] = {}

        def wait(name: str, sent: bytes) -> None:
            started = time.monotonic()
            with socket.create_connection(address, timeout=240) as client:
                client.sendall(sent)
                reply = client.recv(12)
                while client.recv(4096):
                    pass
            ended[name] = time.monotonic() - started, reply

        halves = {"nothing": b"", "head": HEAD, "after a reply": HEALTH, "body": half_body}
        threads = [threading.Thread(target=wait, args=half) for half in halves.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, (seconds, reply) in ended.items():
            limit = Limits().body_seconds if name == "body" else connections.HEAD_SECONDS
            assert limit - 0.5 < seconds < limit + 60, name
            assert reply.endswith({"body": b"408", "after a reply": b"200"}.get(name, b"")), name
        clients = [socket.create_connection(address, timeout=60) for _ in range(connections.MOST)]
        assert answers(url)  # one more, so one gives way
        closed = [client for client in clients if is_closed(client)]
        assert closed == clients[:1]
        for client in clients:
            client.close()
    assert process.returncode == 0


def is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return not client.recv(1)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True

"""Workers for tests: a real one in this process, and harmful ones of each kind."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn

from repic.rewards.server.app import Limits, create_app
from repic.web.connections import BoundedConnection


@contextlib.contextmanager
def worker(token: str | None = None, limits: Limits | None = None) -> Iterator[str]:
    """URL of a real worker."""
    config = uvicorn.Config(
        create_app(token, limits), port=0, log_level="error", http=BoundedConnection, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@contextlib.contextmanager
def harmful(act: Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]) -> Iterator[str]:
    """URL of a worker that answers each request with `act`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with contextlib.suppress(OSError):
                act(self, body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"content-length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def scores(values: list[Any]) -> bytes:
    made = [{"reward": value, "components": {}, "reason": "right"} for value in values]
    return json.dumps({"schema_version": 1, "scores": made}).encode()


def dies(handler: BaseHTTPRequestHandler, _: Any) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def hangs(handler: BaseHTTPRequestHandler, _: Any) -> None:
    """Until the client leaves."""
    handler.rfile.read(1)


def fails(handler: BaseHTTPRequestHandler, _: Any) -> None:
    reply(handler, 500, b"oops")


def talks_nonsense(handler: BaseHTTPRequestHandler, _: Any) -> None:
    reply(handler, 200, b'{"scores": [{"rew')


def drips(handler: BaseHTTPRequestHandler, _: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def floods(handler: BaseHTTPRequestHandler, _: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b" " * (1 << 16))


def miscounts(handler: BaseHTTPRequestHandler, body: Any) -> None:
    reply(handler, 200, scores([1.0] * (len(body["rows"]) + 1)))


def exaggerates(handler: BaseHTTPRequestHandler, body: Any) -> None:
    reply(handler, 200, scores([100.0] * len(body["rows"])))


def says_nan(handler: BaseHTTPRequestHandler, body: Any) -> None:
    reply(handler, 200, scores([float("nan")] * len(body["rows"])))


def says_true(handler: BaseHTTPRequestHandler, body: Any) -> None:
    reply(handler, 200, scores([True] * len(body["rows"])))


def says_text(handler: BaseHTTPRequestHandler, body: Any) -> None:
    reply(handler, 200, scores(["1.0"] * len(body["rows"])))


def nests(handler: BaseHTTPRequestHandler, _: Any) -> None:
    reply(handler, 200, b'{"scores": ' + b"[" * 100_000)


def encodes(handler: BaseHTTPRequestHandler, body: Any) -> None:
    text = gzip.compress(scores([1.0] * len(body["rows"])) + b" " * 10_000_000)
    reply(handler, 200, text, content_encoding="gzip")


def talks_no_http(handler: BaseHTTPRequestHandler, _: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 abc\r\n\r\n")


HARM = (*(dies, hangs, fails, talks_nonsense, drips, floods, miscounts, exaggerates, says_nan),)
"""In time, in length, or in the number or size of the rewards."""

BAD_REPLIES = (says_true, says_text, nests, encodes, talks_no_http)
"""Complete replies that must not be taken for rewards; tests/web has more that break HTTP."""

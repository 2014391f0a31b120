"""HTTP servers that misbehave, on real sockets."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[socket.socket, str], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server whose connections are answered by `answer(connection, path)`; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def accept() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    def handle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, IndexError):
            request = connection.recv(65_536).decode("latin-1")
            answer(connection, request.split(" ")[1])

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        listener.close()


def reply(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """Answer with a complete body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    head = "\r\n".join([*lines, "", ""]).encode()
    return lambda connection, path: connection.sendall(head + body)


BODY = b"some bytes"


def patient(connection: socket.socket, path: str) -> None:
    """Keep the connection open, and answer whatever comes."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    connection.sendall(head + BODY)
    while connection.recv(65_536):
        connection.sendall(head + BODY)


def redirect(to: str) -> Answer:
    return reply(b"", f"Location: {to}", status="302 Found")


def endless(connection: socket.socket, path: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(bytes(65_536))


def drip(connection: socket.socket, path: str) -> None:
    """A byte of the body now and then, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def drip_headers(connection: socket.socket, path: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def silent(connection: socket.socket, path: str) -> None:
    """Sends nothing until the client leaves."""
    while connection.recv(65_536):
        pass


def hang_up(connection: socket.socket, path: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")


def no_http(connection: socket.socket, path: str) -> None:
    connection.sendall(b"\0\xff" * 500)


def gzip_bomb(connection: socket.socket, path: str) -> None:
    reply(gzip.compress(bytes(50_000_000)), "Content-Encoding: gzip")(connection, path)

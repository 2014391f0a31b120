"""One request to a server that may be broken or hostile, with the standard library only.

As `repic.web.replies`: a deadline for the whole exchange, a maximum size, no encoding, and no
redirect, because urllib sends the token on to the host that a redirect names.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.request
from typing import Any

FAILURES = (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, RecursionError)
"""What `post`, or reading what it returns, raises if the server is at fault or out of reach."""


def post(address: str, body: bytes, token: str | None, seconds: float, most: int) -> bytes:
    """The reply to a body of JSON.

    Args:
        address: An http or https URL; certificates are verified.
        token: Sent as Bearer.
        seconds: Deadline from the connection to the last byte of the reply.
        most: Maximum bytes of the reply.

    Raises:
        urllib.error.HTTPError: the status is not one of success; also for a redirect.
        OSError, http.client.HTTPException, ValueError: no reply, or too long, too late or encoded.
    """
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    request = urllib.request.Request(address, body, headers)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    deadline = _Deadline(seconds)
    try:
        with _opener(deadline).open(request, timeout=seconds) as reply:
            text = _read(reply, most)
    except (OSError, http.client.HTTPException, ValueError):
        deadline.check()
        raise
    finally:
        deadline.end()
    deadline.check()
    return text


def _read(reply: Any, most: int) -> bytes:
    if reply.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ValueError("the reply is encoded, which was not asked for")
    text = bytearray()
    while part := reply.read1(1 << 16):
        text += part
        if len(text) > most:
            raise ValueError(f"the reply has more than {most} bytes")
    return bytes(text)


def _opener(deadline: _Deadline) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS, also through a proxy; no redirects, files or FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Http(deadline),
        _Https(deadline),
    ):
        opener.add_handler(handler)
    return opener


class _Deadline:
    """Ends the connections of a request when its time is over.

    A timeout of a socket is per read, so a server that sends a byte now and then would never end.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._stop)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, connected: socket.socket) -> None:
        self._sockets.append(connected)
        self.check()

    def check(self) -> None:
        """Raises: TimeoutError: the time is over."""
        if time.monotonic() >= self._until:
            raise TimeoutError("no complete reply in time")

    def end(self) -> None:
        self._timer.cancel()

    def _stop(self) -> None:
        for connected in self._sockets:
            with contextlib.suppress(OSError):
                # That of the base class: the one of TLS would change what the reader reads.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


class _Watched(urllib.request.AbstractHTTPHandler):
    """Opens connections that a deadline watches."""

    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def do_open(self, http_class: Any, req: Any, **options: Any) -> Any:
        deadline = self._deadline

        class Connection(http_class):
            def connect(self) -> None:
                super().connect()
                deadline.watch(self.sock)

        return super().do_open(Connection, req, **options)


class _Http(_Watched, urllib.request.HTTPHandler):
    pass


class _Https(_Watched, urllib.request.HTTPSHandler):
    pass

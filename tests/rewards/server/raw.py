"""Malformed and hostile requests on raw sockets: the torture tests ask for more of them."""

from __future__ import annotations

import contextlib
import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

BODY = b'{"rows": [{"completion": "yes", "row": {"objective": "oct", "answer": "yes"}}]}'
Address = tuple[str, int]
PATIENCE = 0.3
"""Seconds that a client waits for a reply to half a request."""


def request(draw: random.Random, token: str) -> bytes:
    """A request with one or several faults, or none."""
    method = draw.choice([b"POST"] * 6 + [b"GET", b"get", b"", b"P\x00ST", b"A" * 5000, b"PRI"])
    target = draw.choice(
        [b"/v1/score"] * 6
        + [b"/get_reward", b"/healthz", b"*", b"", b"//", b"/%00", b"/\xff", b"/" + b"a" * 9000]
        + [b"http://evil.example/v1/score", b"/v1/score?" + b"a=1&" * 2000, b"/..%2f..%2fetc"]
    )
    version = draw.choice([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"", b"\xf0"])
    body = draw.choice([BODY, b"", b"{", b"\x1f\x8b" + b"\0" * 99, b"[" * 9999, BODY * 50])
    headers = [b"Host: localhost", b"Authorization: Bearer " + token.encode()]
    if draw.random() < 0.5:
        headers.append(b"Content-Length: %d" % len(body))
    else:
        headers.append(b"Transfer-Encoding: chunked")
        body = chunked(draw, body)
    for _ in range(draw.choice([0, 0, 1, 1, 2, 4])):
        headers[draw.randrange(len(headers) + 1) :] += [draw.choice(HEADERS)]
    end = draw.choice([b"\r\n"] * 8 + [b"\n", b"\r", b""])
    text = end.join([b" ".join([method, target, version]), *headers, b"", body])
    if draw.random() < 0.2:
        at = draw.randrange(len(text))
        text = text[:at] + draw.randbytes(draw.randint(1, 9)) + text[at + draw.randint(0, 9) :]
    if draw.random() < 0.2:
        text = text[: draw.randrange(len(text))]
    return text * draw.choice([1, 1, 1, 3])


def chunked(draw: random.Random, body: bytes) -> bytes:
    """A body in chunks, whose sizes may be wrong."""
    size = draw.choice([b"%x" % len(body)] * 4 + [b"-1", b"g", b"f" * 40, b"0x10", b"%x" % 9, b""])
    extension = draw.choice([b"", b"", b";a=b", b";" + b"x" * 20_000])
    trailer = draw.choice([b"", b"", b"Content-Length: 5\r\n", b"X: " + b"y" * 70_000 + b"\r\n"])
    return size + extension + b"\r\n" + body + b"\r\n0\r\n" + trailer + b"\r\n"


HEADERS = [
    *(b"Host: evil.example", b"Host:", b"Host: localhost\x00", b"Origin: https://evil.example"),
    *(b"Content-Length: 5", b"Content-Length: -5", b"Content-Length: " + b"9" * 6000),
    *(b"Content-Length: 5, 6", b"Content-Length: +5", b"Content-Length: 1e3"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding : chunked"),
    *(b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\x0bchunked", b" folded: line"),
    *(b"Content-Encoding: gzip", b"Content-Encoding: gzip, gzip", b"Content-Encoding: \xff"),
    *(b"Expect: 100-continue", b"Connection: close", b"Connection: upgrade", b"Upgrade: websocket"),
    *(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__", b"Sec-WebSocket-Key: x"),
    *(b"Authorization: Basic " + b"%" * 3000, b"Authorization: \xe9", b"Cookie: " + b"c" * 70_000),
    *(b"X-\xc3\xa9: 1", b"X: \x00", b"X: \r", b": empty", b"no colon", b"X: " + "é秀".encode()),
    *(b"Content-Type: multipart/form-data; boundary=" + b"b" * 500, b"Range: bytes=0-,0-,0-"),
]


def send(address: Address, text: bytes, draw: random.Random) -> bytes:
    """The first bytes of what the server replies; empty if it closes or says nothing."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=10) as client:
        if draw.random() < 0.1:
            return b""  # leaves at once
        if draw.random() < 0.2 and len(text) > 2:
            middle = draw.randrange(len(text))
            client.sendall(text[:middle])
            client.sendall(text[middle:])
        else:
            client.sendall(text)
        if draw.random() < 0.1:
            return b""
        client.settimeout(PATIENCE)
        return client.recv(4000)
    return b""


def hostile_requests(address: Address, token: str, count: int, seed: int = 0) -> Counter[str]:
    """Number of replies to `count` requests, by status; `none` for those without one."""
    draw = random.Random(seed)
    seeds = [draw.getrandbits(64) for _ in range(count)]

    def one(seed: int) -> str:
        draw = random.Random(seed)
        reply = send(address, request(draw, token), draw)
        return reply[9:12].decode("latin-1") if reply.startswith(b"HTTP/1.1 ") else "none"

    with ThreadPoolExecutor(16) as threads:
        return Counter(threads.map(one, seeds))

"""Valid, malformed and hostile requests on raw sockets: the torture tests ask for more of them.

About a third are well-formed: complete HTTP with a valid or a nearly valid body. The rest break
HTTP, its framing, or the limits of the service. The server must answer `EXPECTED` to some kinds.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.rewards.server.test_fuzz import HARMFUL

Address = tuple[str, int]
PATIENCE = 0.3
"""Seconds that a client waits for a reply to half a request."""

LIMIT = 1 << 20
"""`--max-bytes` of the service that is asked."""

ROWS: list[dict[str, Any]] = [
    {"objective": "oct", "kind": "positive", "answer": "yes"},
    {
        "objective": "vlt",
        "box": [64.0, 48.0, 320.0, 240.0],
        "images": [{"width": 640, "height": 480}],
        "references": [{"name": "Ann", "info": "a cat", "present": True}],
    },
    {
        "objective": "ict",
        "caption": "<Ann> sits on the grass, left of a blue car.",
        "images": [{"width": 640, "height": 480}],
        "prompt": [{"text": "Describe it."}, {"text": ""}],
        "references": [{"name": "Ann", "info": "a cat", "present": True}],
        "scene": [
            {"name": "Ann", "box": [10.0, 10.0, 90.0, 90.0], "label": "cat", "phrases": ["a cat"]}
        ],
        "distinctive_words": ["grass"],
    },
]
ANSWERS = [
    "yes",
    '{"bbox_2d": [100, 100, 500, 500]}',
    "<Ann> is on the grass. ",
    "é秀\U0001d504\u202e",
]


def body(draw: random.Random) -> Any:
    """A valid body of `/v1/score`."""
    rows = [
        {"completion": draw.choice(ANSWERS) * draw.choice([1, 1, 9, 200]), "row": draw.choice(ROWS)}
        for _ in range(draw.randint(1, 4))
    ]
    return {"mode": draw.choice(["strict", "paper"]), "rows": json.loads(json.dumps(rows))}


def damaged(draw: random.Random) -> bytes:
    """A body with a harmful value somewhere."""
    valid = body(draw)
    node: Any = valid
    while True:
        key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], dict | list) or not node[key] or draw.random() < 0.2:
            node[key] = draw.choice(HARMFUL)
            return encoded(valid)
        node = node[key]


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def post(token: str, content: bytes, *headers: bytes, path: bytes = b"/v1/score") -> bytes:
    """A well-formed request."""
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", *headers]
    lines += [b"Authorization: Bearer " + token.encode(), b"Content-Length: %d" % len(content)]
    return b"\r\n".join([*lines, b"", content])


def in_chunks(draw: random.Random, token: str, content: bytes) -> bytes:
    """The same in chunks of random sizes."""
    parts, at = [], 0
    while at < len(content):
        part = content[at : at + draw.randint(1, len(content))]
        at += len(part)
        parts.append(b"%x\r\n%s\r\n" % (len(part), part))
    head = post(token, b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    return head + b"".join(parts) + b"0\r\n\r\n"


def smuggled(draw: random.Random, token: str) -> bytes:
    """Two readers would see the end of the first request at different places."""
    content = encoded(body(draw))
    hidden = b"0\r\n\r\nPOST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
    return post(token, content + hidden, draw.choice(SECOND_LENGTHS))


def of_wrong_length(draw: random.Random, token: str) -> bytes:
    """A length that is not the length of the body."""
    content = encoded(body(draw))
    length = draw.choice([0, 1, len(content) - 1, len(content) + 1, len(content) * 9, LIMIT])
    right = b"Content-Length: %d" % len(content)
    return post(token, content).replace(right, b"Content-Length: %d" % length)


def deep(draw: random.Random, token: str) -> bytes:
    """JSON in JSON in JSON."""
    depth = draw.choice([100, 1_000, 100_000])
    opening = draw.choice([b"[", b'{"rows":', b'{"rows":[{"row":', b'[{"":'])
    shut = draw.choice([b"", b"]" * depth, b"}" * depth])
    return post(token, (opening * depth + shut)[:LIMIT])


def of_huge_headers(draw: random.Random, token: str) -> bytes:
    """More headers than a server should hold."""
    headers = draw.choice(
        [
            [b"X: " + b"x" * draw.choice([9_000, 70_000, 900_000])],
            [b"X-%d: y" % k for k in range(draw.choice([90, 2_000, 20_000]))],
            [b"Cookie: " + b"a=b; " * 20_000],
        ]
    )
    return post(token, encoded(body(draw)), *headers)


def too_large(draw: random.Random, token: str) -> bytes:
    """A body beyond the limit, announced or not."""
    content = b'{"rows": "' + b"x" * (LIMIT + draw.randint(0, 99)) + b'"}'
    return draw.choice([post(token, content), in_chunks(draw, token, content)])


def of_other_protocols(draw: random.Random, _: str) -> bytes:
    """Not HTTP/1.1."""
    return draw.choice(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(500),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9,
            b"GET /v1/score HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
            b"SSH-2.0-x\r\n",
            b"EHLO x\r\n" * 99,
            draw.randbytes(draw.randint(1, 9_000)),
        ]
    )


def malformed(draw: random.Random, token: str) -> bytes:
    """A request with one or several faults anywhere."""
    method = draw.choice([b"POST"] * 6 + [b"GET", b"get", b"", b"P\x00ST", b"A" * 5000, b"PRI"])
    target = draw.choice(
        [b"/v1/score"] * 6
        + [b"/get_reward", b"/healthz", b"*", b"", b"//", b"/%00", b"/\xff", b"/" + b"a" * 9000]
        + [b"http://evil.example/v1/score", b"/v1/score?" + b"a=1&" * 2000, b"/..%2f..%2fetc"]
    )
    version = draw.choice([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"", b"\xf0"])
    content = draw.choice([encoded(body(draw)), b"", b"{", b"\x1f\x8b" + b"\0" * 99])
    headers = [b"Host: localhost", b"Authorization: Bearer " + token.encode()]
    if draw.random() < 0.5:
        headers.append(b"Content-Length: %d" % len(content))
    else:
        headers.append(b"Transfer-Encoding: chunked")
        content = chunked(draw, content)
    for _ in range(draw.choice([0, 0, 1, 1, 2, 4])):
        headers[draw.randrange(len(headers) + 1) :] += [draw.choice(HEADERS)]
    end = draw.choice([b"\r\n"] * 8 + [b"\n", b"\r", b""])
    text = end.join([b" ".join([method, target, version]), *headers, b"", content])
    if draw.random() < 0.2:
        at = draw.randrange(len(text))
        text = text[:at] + draw.randbytes(draw.randint(1, 9)) + text[at + draw.randint(0, 9) :]
    if draw.random() < 0.2:
        text = text[: draw.randrange(len(text))]
    return text * draw.choice([1, 1, 1, 3])


def chunked(draw: random.Random, content: bytes) -> bytes:
    """A body in chunks, whose sizes may be wrong."""
    size = draw.choice(
        [b"%x" % len(content)] * 4 + [b"-1", b"g", b"f" * 40, b"0x10", b"%x" % 9, b""]
    )
    extension = draw.choice([b"", b"", b";a=b", b";" + b"x" * 20_000])
    trailer = draw.choice([b"", b"", b"Content-Length: 5\r\n", b"X: " + b"y" * 70_000 + b"\r\n"])
    return size + extension + b"\r\n" + content + b"\r\n0\r\n" + trailer + b"\r\n"


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


SECOND_LENGTHS = [
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked", b"Content-Length: 5"),
    *(b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\x0bchunked", b"Content-Length: 0, 5"),
    *(b"Transfer-Encoding: chunked, identity", b"X: y\nTransfer-Encoding: chunked"),
]

KINDS: dict[str, tuple[int, Any]] = {
    "valid": (20, lambda draw, token: post(token, encoded(body(draw)))),
    "valid in chunks": (5, lambda draw, token: in_chunks(draw, token, encoded(body(draw)))),
    "damaged": (12, lambda draw, token: post(token, damaged(draw))),
    "slow": (3, lambda draw, token: post(token, encoded(body(draw)))),
    "no token": (5, lambda draw, token: post(token[1:], encoded(body(draw)))),
    "malformed": (20, malformed),
    "smuggled": (10, smuggled),
    "wrong length": (8, of_wrong_length),
    "deep": (5, deep),
    "huge headers": (5, of_huge_headers),
    "too large": (2, too_large),
    "other protocols": (5, of_other_protocols),
}
"""Kinds of requests: their shares in percent, and how they are made."""

EXPECTED = {
    "valid": {"200"},
    "valid in chunks": {"200"},
    "damaged": {"200", "422"},
    "slow": {"200"},
    "no token": {"401"},
    "smuggled": {"400"},
    "deep": {"422"},
}
"""Statuses of kinds whose answer is certain."""

LEAVES_EARLY = ("malformed", "wrong length", "too large", "other protocols")
"""Kinds of which some clients leave before the reply, or before the end of the request."""


def send(address: Address, kind: str, text: bytes, draw: random.Random) -> bytes:
    """The first bytes of what the server replies; empty if it closes or says nothing."""
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=60) as client:
        if kind in LEAVES_EARLY and draw.random() < 0.1:
            return b""
        # A server that refuses may close before it has read everything; its reply still counts.
        with contextlib.suppress(OSError):
            for part in pieces(kind, text, draw):
                client.sendall(part)
        if kind in LEAVES_EARLY and draw.random() < 0.1:
            return b""
        client.settimeout(60 if kind in EXPECTED else PATIENCE)
        return client.recv(4000)
    return b""


def pieces(kind: str, text: bytes, draw: random.Random) -> Iterator[bytes]:
    """Parts of a request, with pauses between those of a slow one."""
    count = draw.randint(2, 6) if kind == "slow" else draw.choice([1, 1, 1, 2])
    cuts = sorted(draw.randrange(len(text) + 1) for _ in range(count - 1))
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        yield text[start:end]
        if kind == "slow":
            time.sleep(draw.choice([0.01, 0.1, 0.4]))


def hostile_requests(
    address: Address, token: str, count: int, seed: int = 0
) -> Counter[tuple[str, str]]:
    """Number of replies to `count` requests, by kind and status; `none` for those without one."""
    draw = random.Random(seed)
    shares = [share for share, _ in KINDS.values()]
    asked = [(kind, draw.getrandbits(64)) for kind in draw.choices(list(KINDS), shares, k=count)]

    def one(kind: str, seed: int) -> tuple[str, str]:
        draw = random.Random(seed)
        reply = send(address, kind, KINDS[kind][1](draw, token), draw)
        return kind, reply[9:12].decode("latin-1") if reply.startswith(b"HTTP/1.1 ") else "none"

    with ThreadPoolExecutor(16) as threads:
        return Counter(threads.map(one, *zip(*asked, strict=True)))

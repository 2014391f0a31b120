"""Both of our clients against hostile servers on real sockets: bounded, and without lost tokens."""

from __future__ import annotations

import gzip
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from repic.models.openai_client import complete
from repic.rewards.adapters import plain_http
from repic.web import replies
from repic.web.replies import ReplyError
from tests.web.hostile_servers import Act, forever, hostile, reply, self_signed

TOKEN = "s3cret"
SECONDS, MOST = 0.4, 100_000
Post = Callable[[str], bytes]
OK = b"HTTP/1.1 200 OK\r\n"


def by_httpx(address: str) -> bytes:
    async def ask() -> replies.Reply:
        async with replies.client() as http:
            return await replies.post(http, address, b"{}", TOKEN, SECONDS, MOST)

    found = replies.run_now(ask())
    if found.status != 200:
        raise ReplyError("status", str(found.status))
    return found.body


def by_urllib(address: str) -> bytes:
    return plain_http.post(address, b"{}", TOKEN, SECONDS, MOST)


FAILURES = (ReplyError, *plain_http.FAILURES)
both = pytest.mark.parametrize("post", [by_httpx, by_urllib], ids=["httpx", "urllib"])

ENDLESS: dict[str, Act] = {
    "silent": forever(b"", b""),
    "status line": forever(b"HTTP/1.1 200 ", b"O"),
    "header": forever(OK + b"X: ", b"x"),
    "headers": forever(OK, b"X: 1\r\n"),
    "continue": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": forever(OK + b"\r\n{}", b" "),
    "short body": forever(OK + b"Content-Length: 9000\r\n\r\n", b" "),
    "chunk size": forever(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": forever(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X: 1\r\n"),
}

BAD: dict[str, Act | bytes] = {
    "nothing": b"",
    "no http": b"\x16\x03\x01 hello\r\n\r\n",
    "bad status": b"HTTP/1.1 abc\r\n\r\n",
    "bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "half a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}",
    "huge header": OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n{}",
    "too long": reply(b" " * (MOST + 1)),
    "announced bomb": OK + b"Content-Length: 99999999999\r\n\r\n" + b" " * (2 * MOST),
    "flood": forever(OK + b"\r\n", b" " * 65536, pause=0),
    "encoded": reply(gzip.compress(b" " * 10_000_000), "200 OK", "Content-Encoding: gzip"),
    "twice encoded": reply(b"{}", "200 OK", "Content-Encoding: gzip, gzip"),
    "unknown encoding": reply(b"{}", "200 OK", "Content-Encoding: \xe9"),
}


@both
def test_a_good_reply_is_read(post: Post) -> None:
    with hostile(reply(b'{"a": 1}')) as server:
        assert post(server.url) == b'{"a": 1}'
    [request] = server.requests
    assert b"Authorization: Bearer s3cret" in request
    assert b"accept-encoding: identity" in request.lower()


@both
@pytest.mark.parametrize("act", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_reply_ends_at_the_deadline(post: Post, act: Act) -> None:
    """The server would go on for ever, so it is the client that ends it."""
    with hostile(act) as server, pytest.raises(FAILURES):
        post(server.url)


@both
@pytest.mark.parametrize("act", BAD.values(), ids=BAD)
def test_a_bad_reply_is_refused(post: Post, act: Act | bytes) -> None:
    with hostile(act) as server, pytest.raises(FAILURES) as refused:
        post(server.url)
    assert str(refused.value).isprintable() or post is by_urllib


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_token_nowhere(post: Post, status: int) -> None:
    with hostile(reply(b"{}")) as other:
        redirect = reply(b"", f"{status} Moved", f"Location: {other.url}/v1/score")
        refused = pytest.raises((ReplyError, urllib.error.HTTPError), match=str(status))
        with hostile(redirect) as server, refused:
            post(server.url)
    assert len(server.requests) == 1
    assert other.requests == []


@both
def test_a_certificate_that_nobody_signed_gets_no_request(post: Post, tmp_path: Path) -> None:
    refused = pytest.raises(FAILURES, match="certificate verify failed")
    with hostile(reply(b"{}"), self_signed(tmp_path)) as server, refused:
        post(server.url)
    assert server.requests == []


@both
@pytest.mark.parametrize("address", ["nowhere", "file:///etc/passwd", "http://[", "http://a b:x/"])
def test_an_address_that_is_none_is_refused(post: Post, address: str) -> None:
    with pytest.raises(FAILURES):
        post(address)


CONTENTS = [
    (b"", "is not JSON"),
    (b"<html>", "is not JSON"),
    (b"[" * 1_000_000, "is not JSON"),
    (b"\xff\xfe\xfd", "is not JSON"),
    (b'{"choices": %s}' % (b"9" * 5000), "is not JSON"),
    (b"null", "no choice"),
    (b"[]", "no choice"),
    (b'{"choices": []}', "no choice"),
    (b'{"choices": {"0": 1}}', "no choice"),
    (b'{"choices": [{"message": "x"}]}', "no choice"),
    (b'{"choices": [{"message": {"content": null}}]}', "is not text"),
    (b'{"choices": [{"message": {"content": NaN}}]}', "is not text"),
    (b'{"choices": [{"message": {"content": ["a"]}}]}', "is not text"),
]


@pytest.mark.parametrize(("body", "why"), CONTENTS, ids=[str(k) for k in range(len(CONTENTS))])
def test_a_chat_reply_without_text_is_refused(body: bytes, why: str) -> None:
    with hostile(reply(body)) as server, pytest.raises(ReplyError, match=why):
        complete(server.url, {}, 5)


def test_a_text_can_always_be_written_to_a_file() -> None:
    with hostile(reply(b'{"choices": [{"message": {"content": "a \\ud83d b"}}]}')) as server:
        assert complete(server.url, {}, 5) == "a ? b"


def test_what_a_server_says_is_one_printable_line() -> None:
    said = b"\x1b[2J\r\n\x00no \x07model\xff" + b"x" * 9000
    with hostile(reply(said, "404 Not Found")) as server, pytest.raises(ReplyError) as refused:
        complete(server.url, {}, 5)
    assert refused.value.status == 404
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) <= 200


def test_a_key_that_is_no_header_is_told() -> None:
    with hostile(reply(b"{}")) as server, pytest.raises(ReplyError):
        complete(server.url, {}, 5, "clé\n")
    assert server.requests == []

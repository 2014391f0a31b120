"""Requests to servers of others, whose replies may be broken or hostile.

A reply has a maximum size and a deadline, which covers everything from the connection to the last
byte. No encoding is asked for and an encoded reply is refused, so none can expand. A redirect is an
answer like any other: following it would send the token to another host. TLS certificates are
verified.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")

MAX_WAIT = 30.0
"""Most seconds that a server can make us wait before another try."""


class ReplyError(Exception):
    """No usable reply. Its text is one line without control characters.

    Attributes:
        kind: One of few words that can be counted, such as `timeout` or `ConnectError`.
        status: Status of the reply, if that is what is wrong with it.
    """

    def __init__(self, kind: str, message: str, status: int | None = None) -> None:
        super().__init__(one_line(message))
        self.kind, self.status = kind, status


@dataclass(frozen=True)
class Reply:
    """A complete reply of any status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def client() -> httpx.AsyncClient:
    """A client for `post`, to be used in one event loop."""
    return httpx.AsyncClient(
        verify=_tls(),
        timeout=None,  # `post` has a deadline
        follow_redirects=False,
        limits=httpx.Limits(max_connections=None),
    )


async def post(
    http: httpx.AsyncClient,
    address: str,
    body: bytes,
    token: str | None,
    seconds: float,
    most: int,
) -> Reply:
    """The reply to a body of JSON.

    Args:
        token: Sent as Bearer.
        seconds: Deadline of the whole exchange.
        most: Maximum bytes of the reply.

    Raises:
        ReplyError: there is none, or it is too long, too late or encoded.
    """
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        async with (
            asyncio.timeout(seconds),
            http.stream("POST", address, content=body, headers=headers) as reply,
        ):
            return Reply(reply.status_code, reply.headers, await _read(reply, most))
    except TimeoutError:
        raise ReplyError("timeout", f"no complete reply within {seconds:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise ReplyError(type(error).__name__, str(error) or type(error).__name__) from None


async def _read(reply: httpx.Response, most: int) -> bytes:
    if reply.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ReplyError("encoded", "the reply is encoded, which was not asked for")
    body = bytearray()
    async for part in reply.aiter_raw():
        body += part
        if len(body) > most:
            raise ReplyError("too long", f"the reply has more than {most} bytes")
    return bytes(body)


def parsed(body: bytes) -> Any:
    """The JSON of a reply.

    Raises:
        ReplyError: it is none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ReplyError("no JSON", "the reply is not JSON") from None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, from 0.05 to `MAX_WAIT`; None if it names none.

    The header holds seconds or a date (RFC 9110, 10.2.3).
    """
    text = headers.get("retry-after") or ""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.05), MAX_WAIT) if math.isfinite(seconds) else None


def one_line(text: str, most: int = 200) -> str:
    """The beginning of a text of others, safe to print."""
    words = " ".join(text[: 4 * most].split())
    return "".join(c if c.isprintable() else "?" for c in words)[:most]


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine for synchronous callers, with or without a running event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@cache
def _tls() -> ssl.SSLContext:
    """One for all clients: making it takes longer than a request."""
    return httpx.create_ssl_context()

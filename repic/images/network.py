"""Download of pictures by http and https, from servers that a data set names.

Neither the servers nor the addresses are trusted. Each connection, also of a redirect, goes to an
address that was checked before: no address of this machine, of a private network or of a cloud's
metadata service, unless the user names its host in `REPIC_PRIVATE_HOSTS` (comma-separated), or it
is the server of the configured source. A reply is bounded in bytes and time.
"""

from __future__ import annotations

import contextvars
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from http import HTTPStatus
from typing import Any

import httpcore
import httpx

from repic.images import patience

PRIVATE_HOSTS = "REPIC_PRIVATE_HOSTS"
"""Environment variable with the hosts that may have private addresses."""

SCHEMES = ("http", "https")

MAX_REDIRECTS = 5
MAX_SECONDS = 600.0
"""Maximum time for one picture."""
GRACE_SECONDS = 20.0
"""Time for which a reply may be slower than `MIN_BYTES_PER_SECOND`."""
MIN_BYTES_PER_SECOND = 16_384
CONNECT_SECONDS = 10.0

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HEADERS = (("User-Agent", "repic"), ("Accept", "image/*,*/*"), ("Accept-Encoding", "identity"))

_trusted: set[str] = set()
_only: contextvars.ContextVar[set[str] | None] = contextvars.ContextVar("_only", default=None)
_deadline: contextvars.ContextVar[float] = contextvars.ContextVar("_deadline")


class DownloadError(Exception):
    """A picture that cannot be downloaded; the message is a text for users."""


class ForbiddenError(DownloadError):
    """An address that a data set may not name."""


class TooLargeError(DownloadError):
    """A reply with more bytes than a picture may have."""


class AbsentError(DownloadError):
    """The server says that there is no such picture."""


class DeniedError(DownloadError):
    """The server does not give the picture to us, such as 401 and 403."""


class UnavailableError(DownloadError, patience.AgainError):
    """The server cannot be reached, is too slow, or says that it fails, such as 503."""


class RateLimitedError(UnavailableError):
    """The server says that we ask too often."""


def trust(url: str | None) -> None:
    """Allow the server of the configured source, whatever its address, in this process."""
    if url and url.startswith(("http://", "https://")):
        _trusted.add(_parse(url).host)


@contextmanager
def trusting_only(*urls: str | None) -> Iterator[None]:
    """In this thread, trust no other servers of sources than these: those of one source."""
    hosts = {_parse(url).host for url in urls if url and url.startswith(("http://", "https://"))}
    token = _only.set(hosts)
    try:
        yield
    finally:
        _only.reset(token)


def download(url: str, max_bytes: int) -> bytes:
    """All bytes of a reply; redirects are followed, and a server that is busy is asked again.

    Raises:
        ForbiddenError: the URL, or one that it redirects to, has a private address.
        TooLargeError: there are more than `max_bytes`.
        AbsentError: there is no such file.
        DeniedError: the server refuses it.
        RateLimitedError: the server wants fewer requests, also after some pauses.
        UnavailableError: the server cannot be reached, is too slow, or says that it fails.
        DownloadError: the address or the reply is malformed.
    """
    return patience.attempts(_host(url), partial(_download, url, max_bytes))


def _host(url: str) -> str:
    """The host of a URL; empty if it has none."""
    try:
        return httpx.URL(url).host
    except (httpx.InvalidURL, ValueError, TypeError):
        return ""


def _download(url: str, max_bytes: int) -> bytes:
    started = time.monotonic()
    token = _deadline.set(started + GRACE_SECONDS)
    try:
        where = _parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            pool = _pool(frozenset(_private_hosts()))
            with pool.stream("GET", _target(where), headers=_headers(where)) as response:
                location = _header(response, b"location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    where = _parse(str(where.join(location.decode("latin-1"))))
                    continue
                _check_status(response)
                return _read(response, started, max_bytes)
        raise DownloadError(f"it redirects more than {MAX_REDIRECTS} times")
    except httpcore.TimeoutException:
        raise UnavailableError("its server is too slow", tries=1) from None
    except httpcore.NetworkError as error:
        cause = str(error) or _name(error)
        raise UnavailableError(f"its server cannot be reached: {cause}", tries=2) from error
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
        raise DownloadError(f"its server cannot be read: {str(error) or _name(error)}") from error
    except (
        httpx.InvalidURL,
        ValueError,
        TypeError,
        OSError,
    ) as error:  # URLs that no server can have
        raise DownloadError(f"its address leads nowhere: {str(error) or _name(error)}") from error
    finally:
        _deadline.reset(token)


def _name(error: BaseException) -> str:
    return type(error).__name__


def _header(response: httpcore.Response, name: bytes) -> bytes | None:
    return next((value for key, value in response.headers if key.lower() == name), None)


def _check_status(response: httpcore.Response) -> None:
    status = response.status
    known = status in set(HTTPStatus)
    said = f"{status} {HTTPStatus(status).phrase}" if known else f"status {status}"
    wait = patience.retry_after((_header(response, b"retry-after") or b"").decode("latin-1"))
    asks = "" if wait is None else f" (it asks to wait {wait:.0f} s)"
    if status in (404, 410):
        raise AbsentError("there is no such file")
    if status in (401, 402, 403, 407, 451):
        raise DeniedError(f"its server does not give it to us: {said}")
    if status == 429:
        raise RateLimitedError(f"its server limits the rate: {said}{asks}; try again later", wait)
    if status in (408, 425) or status >= 500:
        raise UnavailableError(f"its server is unavailable: {said}{asks}; try again later", wait)
    if status != 200:
        raise DownloadError(f"its server answers {said}")


def _parse(url: str) -> httpx.URL:
    """The URL with every character that HTTP cannot send escaped.

    Raises:
        ForbiddenError: it is not of http or https.
        httpx.InvalidURL: it is malformed.
    """
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ForbiddenError(f"it leads to {url[:200]}, which is not of http or https")
    return parsed


def _target(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _headers(url: httpx.URL) -> list[tuple[bytes | str, bytes | str]]:
    return [("Host", url.netloc), *_HEADERS]


def _read(response: httpcore.Response, started: float, max_bytes: int) -> bytes:
    """The body; the deadline moves with the bytes received, up to `MAX_SECONDS`."""
    if int(_header(response, b"content-length") or 0) > max_bytes:
        raise TooLargeError(f"more than {max_bytes:,} bytes")
    chunks, size = [], 0
    for chunk in response.iter_stream():
        size += len(chunk)
        if size > max_bytes:
            raise TooLargeError(f"more than {max_bytes:,} bytes")
        chunks.append(chunk)
        allowed = min(MAX_SECONDS, GRACE_SECONDS + size / MIN_BYTES_PER_SECOND)
        _deadline.set(started + allowed)
        _seconds_left()
    return b"".join(chunks)


@cache
def _pool(trusted: frozenset[str]) -> httpcore.ConnectionPool:
    """Connections that were checked with these hosts trusted, so that no other source uses them."""
    return httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context(),
        max_connections=64,
        keepalive_expiry=15.0,
        network_backend=_CheckedBackend(),
    )


def _seconds_left(limit: float | None = None) -> float:
    """Seconds to the deadline of the picture that this thread downloads, at most `limit`."""
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left if limit is None else min(left, limit)


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to addresses that were checked, so a name cannot change its address in between."""

    def __init__(self) -> None:
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        error: Exception | None = None
        for address in _addresses(host, port):
            try:
                seconds = _seconds_left(CONNECT_SECONDS)
                return _BoundedStream(self._sockets.connect_tcp(address, port, seconds))
            except httpcore.ConnectError as refused:
                error = refused
        raise error or httpcore.ConnectError(f"{host} has no address")


class _BoundedStream(httpcore.NetworkStream):
    """A connection on which every wait ends with the deadline of the picture."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _seconds_left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _seconds_left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _BoundedStream(
            self._stream.start_tls(ssl_context, server_hostname, _seconds_left(CONNECT_SECONDS))
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int) -> list[str]:
    """Addresses of a host; all of them must be public, or the host a trusted one.

    The system's resolver also reads the decimal and octal forms of an address.

    Raises:
        ForbiddenError: one address is private.
        httpcore.ConnectError: the name has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} has no address ({error})") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if host not in _private_hosts():
        for address in addresses:
            if not is_public(address):
                said = f"{host} is" if host == address else f"{host} is {address},"
                raise ForbiddenError(
                    f"{said} an address of this machine or of a private network; if "
                    f"you trust this data set, name the host in {PRIVATE_HOSTS}"
                )
    return addresses


def _private_hosts() -> set[str]:
    named = os.environ.get(PRIVATE_HOSTS, "").split(",")
    only = _only.get()
    trusted = _trusted if only is None else _trusted & only
    return trusted | {name.strip().lower() for name in named if name.strip()}


def is_public(address: str) -> bool:
    """Whether an address is of the public internet, also inside of an IPv6 address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inside = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if ip in _NAT64 or int(ip) >> 32 == 0:
            inside = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inside is not None:
            return is_public(str(inside))
    return ip.is_global and not ip.is_multicast

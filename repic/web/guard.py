"""One guard for every server: Host, Origin, token, and the size and time of a body.

Plain ASGI, so it works for any application. It refuses a request before the application sees it,
and ends a body that is too large or too slow while the application reads it.

- A page of another site reaches a server on this machine through the visitor's browser, also under
  a name of its own that resolves to 127.0.0.1. Only known names of the server are accepted as Host,
  and only the server's own pages as Origin.
- The token is compared in constant time, before a byte of the body is read.
- A body has a maximum size, whether or not it announces one, and a deadline; all bodies in progress
  together have a maximum size too. Encoded bodies are refused, so none can expand.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names under which only this machine reaches a server."""

RETRY_AFTER = 1
"""Seconds that a caller should wait if the server is busy."""

_SINGLE = ("host", "origin", "authorization", "content-length", "transfer-encoding")
"""Headers that two readers could understand differently if they came twice."""

_POLICY_VIOLATION = 1008
"""Close code of a refused websocket (RFC 6455)."""


@dataclass(frozen=True)
class GuardRules:
    """What a server accepts.

    Attributes:
        token: Required as Bearer or as the password of Basic; None: none is required.
        hosts: Names accepted as Host, lower case, without port; None: any, which only a server with
            a token may allow.
        origins: Further origins, such as `https://rewards.example`: the public address of a server
            behind a proxy that changes Host.
        open_paths: Paths that need no token.
        body: Maximum bytes of a body.
        larger: Path -> maximum bytes of a body there, where it is not `body`.
        body_seconds: Seconds within which a body must have arrived.
        all_bodies: Maximum bytes of the bodies of all requests in progress.
        challenge: How a caller without the token is asked for it. For `Basic realm="..."` browsers
            ask their user.
    """

    token: str | None = field(default=None, repr=False)
    hosts: Collection[str] | None = LOOPBACK
    origins: Collection[str] = ()
    open_paths: Collection[str] = ("/healthz",)
    body: int = 8 << 20
    larger: Mapping[str, int] = field(default_factory=dict)
    body_seconds: float = 30.0
    all_bodies: int = 256 << 20
    challenge: str = "Bearer"
    content: Callable[[str, RefusedError], object] = lambda path, refused: refused.content

    def __post_init__(self) -> None:
        if self.hosts is None and not self.token:
            raise ValueError("a server without a token must name its hosts")

    def most_bytes(self, path: str) -> int:
        """Maximum bytes of a body at a path."""
        return self.larger.get(path, self.body)


class RefusedError(Exception):
    """A request that is refused: its status, a stable code, and a sentence."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def content(self) -> dict[str, str]:
        """Its code and its message."""
        return {"code": self.code, "message": self.message}

    async def reply(self, send: Send, content: object) -> None:
        """Send the error as JSON."""
        body = json.dumps(content).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **self.headers,
        }
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def busy(message: str) -> RefusedError:
    """The refusal of a request that may succeed a little later."""
    return RefusedError(429, "busy", message, retry_after=str(RETRY_AFTER))


class Guard:
    """Refuses what breaks the rules; everything else reaches the application unchanged."""

    def __init__(self, app: ASGIApp, rules: GuardRules) -> None:
        self.app, self.rules = app, rules
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            check_request(scope, self.rules)
        except RefusedError as refused:
            if scope["type"] == "http":
                await refused.reply(send, self.rules.content(scope["path"], refused))
            else:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self._with_bounded_body(scope, receive, send)

    async def _with_bounded_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(self, receive, self.rules.most_bytes(scope["path"]))
        has_started = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal has_started
            # An application that catches every error would answer with its own.
            if (not body.problem or has_started) and not body.is_abandoned:
                has_started = True
                await send(message)

        try:
            await self.app(scope, body.receive, send_unless_refused)
        except Exception as error:
            if not body.problem and not body.is_abandoned:
                raise
            if isinstance(error, RefusedError) and error is not body.problem:
                raise
        finally:
            self._held -= body.size
        if body.problem and not has_started:
            await body.problem.reply(send, self.rules.content(scope["path"], body.problem))

    def hold(self, size: int) -> None:
        """Count bytes of a body.

        Raises:
            RefusedError: all bodies together have too many.
        """
        self._held += size
        if self._held > self.rules.all_bodies:
            raise busy("too many bytes of requests are being received")


class _Body:
    """The body of one request: `receive` gives its parts, and ends one that breaks a limit."""

    def __init__(self, guard: Guard, receive: Receive, most: int) -> None:
        self._guard, self._receive, self._most = guard, receive, most
        self._deadline = asyncio.get_running_loop().time() + guard.rules.body_seconds
        self._is_complete = False
        self.size = 0
        self.problem: RefusedError | None = None
        self.is_abandoned = False

    async def receive(self) -> Message:
        """The next part.

        Raises:
            RefusedError: the body is too large or too slow.
        """
        if self._is_complete:
            return await self._receive()
        if self.problem is None:
            try:
                return await self._next_part()
            except RefusedError as refused:
                # The rest of the body is not read, so the connection cannot be used again.
                refused.headers["connection"] = "close"
                self.problem = refused
        raise self.problem

    async def _next_part(self) -> Message:
        rules = self._guard.rules
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise RefusedError(
                408, "too_slow", f"the body took more than {rules.body_seconds:g} s"
            ) from None
        if message["type"] == "http.disconnect":
            self.is_abandoned = True
            return message
        part = len(message.get("body", b""))
        self.size += part
        self._guard.hold(part)
        if self.size > self._most:
            raise _too_large(self._most)
        self._is_complete = not message.get("more_body", False)
        return message


def check_request(scope: Scope, rules: GuardRules) -> None:
    """Check the headers of an HTTP or websocket request.

    Raises:
        RefusedError: they break a rule.
    """
    headers = Headers(scope=scope)
    for name in _SINGLE:
        if len(headers.getlist(name)) > 1:
            raise RefusedError(400, "ambiguous", f"{name} is given twice", connection="close")
    _check_host(headers, rules)
    _check_origin(scope, headers, rules)
    _check_token(scope, headers, rules)
    _check_body_headers(headers, rules.most_bytes(scope["path"]))


def _check_host(headers: Headers, rules: GuardRules) -> None:
    if rules.hosts is not None and _host_name(headers.get("host", "")) not in rules.hosts:
        raise RefusedError(
            421, "unknown_host", "this server is not known by the name in Host: allow it"
        )


def _host_name(host: str) -> str:
    """`[::1]` of `[::1]:8899`, `localhost` of `LOCALHOST.:8899`; empty for a malformed value."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host.lower(), "0"
    return name.removesuffix(".") if port.isascii() and port.isdecimal() else ""


def _check_origin(scope: Scope, headers: Headers, rules: GuardRules) -> None:
    """Only browsers send Origin and Sec-Fetch-Site, and pages cannot change them."""
    origin = headers.get("origin")
    if origin is not None:
        scheme, _, place = origin.partition("://")
        is_here = bool(place) and place == headers.get("host", "").lower()
        is_own = (scheme in ("http", "https") and is_here) or origin in rules.origins
    else:
        is_link = headers.get("sec-fetch-mode") == "navigate" and scope.get("method") == "GET"
        is_own = is_link or headers.get("sec-fetch-site") not in ("cross-site", "same-site")
    if not is_own:
        raise RefusedError(403, "foreign_origin", "pages of other sites may not ask this server")


def _check_token(scope: Scope, headers: Headers, rules: GuardRules) -> None:
    if not rules.token or scope["path"] in rules.open_paths:
        return
    if not _is_authorized(headers.get("authorization", ""), rules.token):
        raise RefusedError(
            401, "unauthorized", "give the token of this server", www_authenticate=rules.challenge
        )


def _is_authorized(authorization: str, token: str) -> bool:
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            credential = base64.b64decode(credential, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(credential.encode(), token.encode())


def _check_body_headers(headers: Headers, most: int) -> None:
    length = headers.get("content-length")
    if length is not None and (
        "transfer-encoding" in headers or not (length.isascii() and length.isdecimal())
    ):
        raise RefusedError(400, "ambiguous", "the body has no single length", connection="close")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedError(415, "encoded", "send the body without Content-Encoding")
    # A length of many digits takes quadratic time to read.
    if length is not None and (len(length) > 18 or int(length) > most):
        raise _too_large(most)


def _too_large(most: int) -> RefusedError:
    message = f"a body has at most {most} bytes: send less at once"
    return RefusedError(413, "too_large", message, connection="close")


def own_hosts(bound: str, *further: str) -> frozenset[str]:
    """Names of a server on this machine: those of loopback, where it is bound, and further ones.

    Args:
        bound: An address or a name, such as `127.0.0.1` or `::1`.
    """
    names = (f"[{name}]" if ":" in name and name[0] != "[" else name for name in (bound, *further))
    return LOOPBACK | {name.lower() for name in names}

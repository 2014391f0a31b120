"""The guard of every server: Host, Origin, token, and the size and time of a body."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from repic.web.guard import Guard, GuardRules, RefusedError, check_request, own_hosts

HERE = "http://localhost:8899"
SECRET = "a secret"


async def size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def catches_all(request: Request) -> Response:
    """An application that hides what went wrong while it read the body."""
    try:
        return PlainTextResponse(str(len(await request.body())))
    except Exception:
        raise HTTPException(400, "broken") from None


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def app(**rules: Any) -> Guard:
    routes = [
        Route("/", size, methods=["GET", "POST", "PUT"]),
        Route("/catches", catches_all, methods=["POST"]),
        Route("/healthz", size),
        WebSocketRoute("/talk", talk),
    ]
    return Guard(Starlette(routes=routes), GuardRules(**rules))


def client(**rules: Any) -> TestClient:
    return TestClient(app(**rules), base_url=HERE)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("localhost.:8899", 200),
        ("127.0.0.1:8899", 200),
        ("[::1]:8899", 200),
        ("[::1]", 200),
        ("", 421),
        ("evil.example", 421),
        ("evil.example:8899", 421),
        ("localhost.evil.example", 421),
        ("localhost@evil.example", 421),
        ("evil.example:localhost", 421),
        ("localhost:8899:evil.example", 421),
        ("127.0.0.1.nip.example", 421),
        ("0.0.0.0", 421),
        ("[::ffff:127.0.0.1]", 421),
        ("localhost, evil.example", 421),
    ],
)
def test_only_known_names_of_the_server_are_accepted(host: str, status: int) -> None:
    assert client().get("/", headers={"Host": host}).status_code == status


def test_a_server_accepts_its_address_and_the_names_it_is_given() -> None:
    hosts = own_hosts("::2", "Rewards.Example")
    for host in ("[::2]:1", "rewards.example", "localhost:8899"):
        assert client(hosts=hosts).get("/", headers={"Host": host}).status_code == 200


def test_any_name_needs_a_token() -> None:
    with pytest.raises(ValueError, match="must name its hosts"):
        GuardRules(hosts=None)
    headers = {"Host": "any.example", "Authorization": f"Bearer {SECRET}"}
    assert client(hosts=None, token=SECRET).get("/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": HERE}, 200),
        ({"Origin": "https://localhost:8899"}, 200),  # a proxy ends TLS
        ({"Origin": "https://shown.example"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "http://localhost"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://"}, 403),
        ({"Origin": "file://localhost:8899"}, 403),
        ({"Origin": f"{HERE}/path"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
    ],
)
def test_only_own_pages_and_plain_clients_may_ask(headers: dict[str, str], status: int) -> None:
    http = client(origins=["https://shown.example"])
    assert http.get("/", headers=headers).status_code == status


def test_a_form_of_another_site_is_refused() -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client().post("/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, 401),
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (f"Bearer {SECRET}", 200),
        (f"bearer {SECRET}", 200),
        (f"Bearer {SECRET} ", 401),
        (f"Bearer {SECRET[:-1]}", 401),
        (f"Digest {SECRET}", 401),
        ("Basic %%%", 401),
        ("Basic " + base64.b64encode(f"any:{SECRET}".encode()).decode(), 200),
        ("Basic " + base64.b64encode(SECRET.encode()).decode(), 401),
        ("Basic " + base64.b64encode(b"any:\xff\xfe").decode(), 401),
        ("Bearer \u00e9", 401),
    ],
)
def test_the_token(value: str | None, status: int) -> None:
    headers = {} if value is None else {"Authorization": value.encode("latin-1")}
    http = client(token=SECRET)
    reply = http.get("/", headers=headers)  # type: ignore[arg-type]
    assert reply.status_code == status
    assert (reply.headers.get("www-authenticate") == "Bearer") is (status == 401)
    assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize("name", ["Host", "Origin", "Authorization", "Content-Length"])
def test_a_header_that_is_given_twice_is_refused(name: str) -> None:
    values = {"Host": "localhost", "Origin": HERE, "Content-Length": "0"}
    scope = {
        "type": "http",
        "path": "/",
        "headers": [(name.lower().encode(), values.get(name, "x").encode())] * 2,
    }
    with pytest.raises(RefusedError, match="given twice") as refused:
        check_request(scope, GuardRules())
    assert refused.value.status == 400


def test_a_body_has_one_length_and_no_encoding() -> None:
    http = client()
    both = {"Content-Length": "3", "Transfer-Encoding": "chunked"}
    assert http.post("/", content=b"abc", headers=both).status_code == 400
    assert http.post("/", content=b"abc", headers={"Content-Encoding": "gzip"}).status_code == 415
    assert http.post("/", content=b"abc", headers={"Content-Encoding": "identity"}).text == "3"


def test_a_body_is_bounded_whether_or_not_it_announces_its_size() -> None:
    for path in ("/", "/catches"):
        http = client(body=1000)
        assert http.post(path, content=b"x" * 1000).text == "1000"
        for content in (b"x" * 1001, (b"x" * 100 for _ in range(11))):
            reply = http.post(path, content=content)
            assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
            assert reply.headers["connection"] == "close"
        for length in ("9" * 30, "9" * 5000, "-1", "1e3", "\u0661"):
            headers = {"Content-Length": length.encode()}
            assert http.post(path, content=b"", headers=headers).status_code in (400, 413)  # type: ignore[arg-type]


Parts = Callable[[], Awaitable[dict[str, Any]]]


def ask(guard: Guard, receive: Parts, path: str = "/") -> list[dict[str, Any]]:
    """What the guard sends for a body that is given in parts."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": headers,
        "query_string": b"",
    }
    asyncio.run(guard(scope, receive, send))
    return sent


@pytest.mark.parametrize("path", ["/", "/catches"])
@pytest.mark.parametrize("pause", [0.02, 10.0])
def test_a_body_has_a_deadline(path: str, pause: float) -> None:
    async def drip() -> dict[str, Any]:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": b"x", "more_body": True}

    start, body = ask(app(body_seconds=0.1), drip, path)
    assert start["status"] == 408
    assert json.loads(body["body"])["code"] == "too_slow"
    assert (b"connection", b"close") in start["headers"]


@pytest.mark.parametrize("path", ["/", "/catches"])
def test_a_client_that_leaves_is_no_error(path: str) -> None:
    parts: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": b"x", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def leave() -> dict[str, Any]:
        return next(parts)

    assert ask(app(), leave, path) == []


def test_all_bodies_together_are_bounded_and_given_back() -> None:
    guard = app(body=1000, all_bodies=1500)

    async def two() -> list[int]:
        first_is_in, may_end = asyncio.Event(), asyncio.Event()

        async def slow() -> dict[str, Any]:
            if first_is_in.is_set():
                await may_end.wait()
                return {"type": "http.request", "body": b"", "more_body": False}
            first_is_in.set()
            return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

        async def quick() -> dict[str, Any]:
            return {"type": "http.request", "body": b"x" * 1000, "more_body": False}

        statuses: list[int] = []

        async def send(message: Any) -> None:
            if "status" in message:
                statuses.append(message["status"])

        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
        scope["headers"] = [(b"host", b"localhost")]
        task = asyncio.create_task(guard(dict(scope), slow, send))
        await first_is_in.wait()
        await asyncio.sleep(0)
        await guard(dict(scope), quick, send)
        may_end.set()
        await task
        await guard(dict(scope), quick, send)
        return statuses

    assert asyncio.run(two()) == [429, 200, 200]


def test_an_error_of_the_application_stays_one() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        TestClient(Guard(fails, GuardRules()), base_url=HERE).get("/")


def test_websockets_are_guarded_too() -> None:
    good = {"Origin": HERE, "Authorization": f"Bearer {SECRET}", "Host": "localhost:8899"}
    http = client(token=SECRET)
    with http.websocket_connect("/talk", headers=good) as socket:
        assert socket.receive_text() == "hello"
    for bad in (
        {"Origin": "https://evil.example"},
        {"Host": "evil.example"},
        {"Authorization": ""},
    ):
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            http.websocket_connect("/talk", headers={**good, **bad}),
        ):
            pass
        assert refused.value.code == 1008


HEADER = st.text(st.characters(max_codepoint=255), max_size=30)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "host",
                    "origin",
                    "authorization",
                    "content-length",
                    "transfer-encoding",
                    "content-encoding",
                    "sec-fetch-site",
                    "x",
                ]
            ),
            HEADER,
        ),
        max_size=6,
    )
)
def test_no_header_breaks_the_guard(headers: list[tuple[str, str]]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "path": "/", "headers": raw}
    with contextlib.suppress(RefusedError):
        check_request(scope, GuardRules(token=SECRET))


def test_some_paths_take_larger_bodies() -> None:
    visitor = TestClient(app(body=10, larger={"/": 100}), base_url=HERE)
    assert visitor.post("/", content=b"x" * 100).status_code == 200
    assert visitor.post("/", content=b"x" * 101).status_code == 413
    assert visitor.post("/catches", content=b"x" * 11).status_code == 413


def test_a_server_says_refusals_in_its_own_form() -> None:
    guard = app(content=lambda path, refused: {"at": path, "why": refused.code})
    reply = TestClient(guard, base_url=HERE).get("/", headers={"host": "evil.example"})
    assert reply.json() == {"at": "/", "why": "unknown_host"}

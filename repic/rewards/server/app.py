"""The web application of one reward worker.

Bodies are read raw, up to a limit, and checked by pydantic; an error says what is wrong with which
field and repeats nothing of the request. Where as many requests are being scored as may, the next
one is told to come back (429).
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

import repic
from repic.objectives.base import Mode
from repic.rewards.components import Component, RewardedAnswer
from repic.rewards.server import openrlhf, prometheus
from repic.rewards.server.batching import BatchedComponent
from repic.rewards.server.protocol import (
    EMPTY,
    SCHEMA,
    Completion,
    ConventionMessage,
    ScoreMessage,
    ScoreRequest,
    ScoreResponse,
    reward_of,
    score_of,
    score_row,
)

RETRY_AFTER = 1
"""Seconds that a caller should wait when all places are taken."""
OPEN = ("/healthz",)
"""Paths that need no token."""


@dataclass(frozen=True)
class Limits:
    """What one worker takes.

    Attributes:
        rows: Of one request.
        bytes: Of one body.
        at_once: Requests being scored or waiting for it; more are told to come back.
    """

    rows: int = 1024
    bytes: int = 8 << 20
    at_once: int = 64


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, message: str, retry: bool = False) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry = status, code, message, retry


class RequestSlots:
    """Counts requests at work, so that a queue cannot grow without end."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def __enter__(self) -> None:
        if self.taken >= self.most:
            raise RefusedError(429, "busy", f"{self.most} requests are being scored", retry=True)
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


def create_app(
    token: str | None = None,
    limits: Limits | None = None,
    components: Sequence[Component] = (),
) -> FastAPI:
    """The application.

    Args:
        token: Asked of every request but `/healthz`, as Bearer or as the password of Basic.
        components: What lowers rewards beside the rules, one after the other.
    """
    limits = limits or Limits()
    app = FastAPI(
        title="RePIC rewards",
        version=repic.__version__,
        description="Scores of answers to rows of the three objectives; see docs/reward-workers.md",
        docs_url=None,
        redoc_url=None,
    )
    place = RequestSlots(limits.at_once)
    batched = [BatchedComponent(component) for component in components]
    app.add_middleware(TokenMiddleware, token=token)

    @app.get("/healthz", summary="Whether this worker answers")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", "version": repic.__version__, "schema_version": SCHEMA}

    @app.get("/metrics", summary="Counters of all workers, for Prometheus")
    async def read_metrics() -> Response:
        return Response(prometheus.exposed(), media_type=prometheus.CONTENT_TYPE)

    @app.post(
        "/v1/score",
        summary="Score answers",
        response_model=ScoreResponse,
        responses=_errors(),
        openapi_extra=_body(ScoreRequest),
    )
    async def score_rows(request: Request) -> Response:
        async def made(asked: ScoreRequest) -> ScoreResponse:
            scores = await score(asked.rows, asked.mode, asked.convention)
            return ScoreResponse.model_construct(scores=scores)

        return await answered(request, ScoreRequest, lambda asked: len(asked.rows), made)

    @app.post(
        "/get_reward",
        summary="Score answers in OpenRLHF's protocol",
        response_model=openrlhf.OpenRlhfResponse,
        responses=_errors(),
        openapi_extra=_body(openrlhf.OpenRlhfRequest),
    )
    async def get_reward(request: Request) -> Response:
        try:
            how = openrlhf.OpenRlhfOptions.model_validate(dict(request.query_params))
        except ValidationError as error:
            return _error(_invalid(error))

        async def made(asked: openrlhf.OpenRlhfRequest) -> openrlhf.OpenRlhfResponse:
            found = openrlhf.completions(asked)
            known = iter(await score([one for one in found if one], how.mode, how.convention()))
            prometheus.answers(("unknown", None) for one in found if one is None)
            return openrlhf.rewards([next(known) if one else None for one in found])

        return await answered(
            request, openrlhf.OpenRlhfRequest, lambda asked: len(asked.query), made
        )

    async def score(
        asked: Sequence[Completion], mode: Mode, described: ConventionMessage
    ) -> list[ScoreMessage]:
        # Not in a thread: it would only wait for the interpreter's lock.
        convention = described.convention()
        scores = [score_row(one.completion, one.row, mode, convention) for one in asked]
        for component in batched:
            scores = await _refined(asked, scores, component)
        prometheus.answers(
            (one.row["objective"], given.reward) for one, given in zip(asked, scores, strict=True)
        )
        return scores

    async def answered(
        request: Request,
        form: type[Any],
        size: Callable[[Any], int],
        made: Callable[[Any], Awaitable[BaseModel]],
    ) -> Response:
        try:
            with place:
                body = await _body_of(request, limits.bytes)
                try:
                    asked = form.model_validate_json(body)
                except ValidationError as error:
                    raise _invalid(error) from None
                if size(asked) > limits.rows:
                    raise RefusedError(
                        413, "too_many_rows", f"at most {limits.rows} rows per request"
                    )
                reply = await made(asked)
                return Response(reply.model_dump_json(), media_type="application/json")
        except RefusedError as refused:
            return _error(refused)

    return app


async def _refined(
    asked: Sequence[Completion], scores: list[ScoreMessage], component: BatchedComponent
) -> list[ScoreMessage]:
    """Scores lowered by a component; those without a reward stay as they are."""
    rewards = [reward_of(given) for given in scores]
    places = [place for place, reward in enumerate(rewards) if reward is not None]
    answers = [
        RewardedAnswer(asked[place].completion, {**EMPTY, **asked[place].row}, reward)
        for place in places
        if (reward := rewards[place]) is not None
    ]
    found = list(scores)
    for place, reward in zip(places, await component.refined(answers), strict=True):
        found[place] = score_of(reward)
    return found


class TokenMiddleware:
    """Asks for the token, and counts requests; plain ASGI, which costs next to nothing."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, path, status = time.perf_counter(), scope["path"], 500

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self.token and path not in OPEN and not _is_known(Headers(scope=scope), self.token):
                refused = _error(
                    RefusedError(401, "unauthorized", "give the token of REPIC_REWARD_TOKEN")
                )
                refused.headers["WWW-Authenticate"] = "Bearer"
                await refused(scope, receive, noted)
            else:
                await self.app(scope, receive, noted)
        finally:
            prometheus.request(path, status, time.perf_counter() - started)


async def _body_of(request: Request, most: int) -> bytes:
    """Raises: RefusedError, before more than that is read."""
    too_large = RefusedError(413, "too_large", f"a body has at most {most} bytes: send fewer rows")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise too_large
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > most:
            raise too_large
    return bytes(found)


def _invalid(error: ValidationError) -> RefusedError:
    """What is wrong, and where; never what was sent there."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"] if isinstance(part, int)) or "body"
    named = [str(part) for part in first["loc"] if isinstance(part, str)]
    is_ours = first["type"] != "extra_forbidden"
    where = ".".join(named) if named and is_ours else "an unknown field"
    kind = first["type"]
    return RefusedError(422, "invalid", f"{where} ({place}) is invalid: {kind}")


def _is_known(headers: Headers, token: str) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(), token.encode())


def _error(refused: RefusedError) -> Response:
    body = ErrorMessage(code=refused.code, message=refused.message)
    headers = {"Retry-After": str(RETRY_AFTER)} if refused.retry else {}
    return Response(body.model_dump_json(), refused.status, headers, media_type="application/json")


class ErrorMessage(BaseModel):
    """Body of every error; `code` is stable."""

    code: str
    message: str


def _errors() -> dict[int | str, dict[str, Any]]:
    told = {
        401: "No token, or another one",
        413: "Too many rows or bytes",
        422: "Not what the schema says",
        429: "All places are taken: wait as Retry-After says",
    }
    return {code: {"model": ErrorMessage, "description": why} for code, why in told.items()}


def _body(form: type[BaseModel]) -> dict[str, Any]:
    """Schema of a body that is read raw, for the OpenAPI page; references are written out."""
    schema = form.model_json_schema(ref_template="#/components/schemas/{model}")
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, schema.get("$defs", {}))}},
        }
    }


def _inlined(schema: Any, known: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, known) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(known[schema["$ref"].rpartition("/")[2]], known)
    return {name: _inlined(part, known) for name, part in schema.items() if name != "$defs"}

"""The web application of one reward worker.

Bodies are read raw, up to a limit, and checked by pydantic; an error says what is wrong with which
field and repeats nothing of the request. Requests beyond the limit of a worker get a 429 with
Retry-After.
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

from repic import config
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
"""Seconds that a caller should wait after a 429."""

OPEN = ("/healthz",)
"""Paths that need no token."""


@dataclass(frozen=True)
class Limits:
    """Limits of one worker.

    Attributes:
        rows: Rows of one request.
        bytes: Bytes of one body.
        at_once: Requests that are scored or wait at the same time; more get a 429.
    """

    rows: int = 1024
    bytes: int = 8 << 20
    at_once: int = 64


class _RefusedError(Exception):
    """An error reply to a request."""

    def __init__(self, status: int, code: str, message: str, retry: bool = False) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry = status, code, message, retry


class _RequestSlots:
    """Counts the requests in progress, so that the queue is bounded."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def __enter__(self) -> None:
        if self.taken >= self.most:
            raise _RefusedError(429, "busy", f"{self.most} requests are being scored", retry=True)
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
        token: Required of every request except `/healthz`, as Bearer or as the password of Basic.
        components: Model-based penalties, applied one after the other.
    """
    limits = limits or Limits()
    app = FastAPI(
        title="RePIC rewards",
        version=config.version(),
        description="Scores of answers to rows of the three objectives; see docs/reward-workers.md",
        docs_url=None,
        redoc_url=None,
    )
    slots = _RequestSlots(limits.at_once)
    batched = [BatchedComponent(component) for component in components]
    app.add_middleware(TokenMiddleware, token=token)

    @app.get("/healthz", summary="Health of this worker")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", "version": config.version(), "schema_version": SCHEMA}

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
        async def respond(body: ScoreRequest) -> ScoreResponse:
            scores = await score(body.rows, body.mode, body.convention)
            return ScoreResponse.model_construct(scores=scores)

        return await handle(request, ScoreRequest, lambda body: len(body.rows), respond)

    @app.post(
        "/get_reward",
        summary="Score answers in OpenRLHF's protocol",
        response_model=openrlhf.OpenRlhfResponse,
        responses=_errors(),
        openapi_extra=_body(openrlhf.OpenRlhfRequest),
    )
    async def get_reward(request: Request) -> Response:
        try:
            options = openrlhf.OpenRlhfOptions.model_validate(dict(request.query_params))
        except ValidationError as error:
            return _error(_invalid(error))

        async def respond(body: openrlhf.OpenRlhfRequest) -> openrlhf.OpenRlhfResponse:
            completions = openrlhf.completions(body)
            valid = [completion for completion in completions if completion]
            scores = iter(await score(valid, options.mode, options.convention()))
            prometheus.count_answers(("unknown", None) for c in completions if c is None)
            return openrlhf.rewards([next(scores) if c else None for c in completions])

        return await handle(
            request, openrlhf.OpenRlhfRequest, lambda body: len(body.query), respond
        )

    async def score(
        completions: Sequence[Completion], mode: Mode, message: ConventionMessage
    ) -> list[ScoreMessage]:
        # Not in a thread, which would only wait for the interpreter lock.
        convention = message.convention()
        scores = [score_row(c.completion, c.row, mode, convention) for c in completions]
        for component in batched:
            scores = await _lowered(completions, scores, component)
        prometheus.count_answers(
            (completion.row["objective"], result.reward)
            for completion, result in zip(completions, scores, strict=True)
        )
        return scores

    async def handle(
        request: Request,
        form: type[Any],
        rows: Callable[[Any], int],
        respond: Callable[[Any], Awaitable[BaseModel]],
    ) -> Response:
        try:
            with slots:
                text = await _read_body(request, limits.bytes)
                try:
                    body = form.model_validate_json(text)
                except ValidationError as error:
                    raise _invalid(error) from None
                if rows(body) > limits.rows:
                    raise _RefusedError(
                        413, "too_many_rows", f"at most {limits.rows} rows per request"
                    )
                reply = await respond(body)
                return Response(reply.model_dump_json(), media_type="application/json")
        except _RefusedError as refused:
            return _error(refused)

    return app


async def _lowered(
    completions: Sequence[Completion], scores: list[ScoreMessage], component: BatchedComponent
) -> list[ScoreMessage]:
    """Scores lowered by a component; a score without a reward is unchanged."""
    answers = {
        index: RewardedAnswer(completion.completion, {**EMPTY, **completion.row}, reward)
        for index, (completion, result) in enumerate(zip(completions, scores, strict=True))
        if (reward := reward_of(result)) is not None
    }
    lowered = list(scores)
    rewards = await component.rewards(list(answers.values()))
    for index, reward in zip(answers, rewards, strict=True):
        lowered[index] = score_of(reward)
    return lowered


class TokenMiddleware:
    """Checks the token and counts requests; plain ASGI, since it runs for every request."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, path, status = time.perf_counter(), scope["path"], 500

        async def send_and_note(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if (
                self.token
                and path not in OPEN
                and not _is_authorized(Headers(scope=scope), self.token)
            ):
                refused = _error(
                    _RefusedError(401, "unauthorized", "give the token of REPIC_REWARD_TOKEN")
                )
                refused.headers["WWW-Authenticate"] = "Bearer"
                await refused(scope, receive, send_and_note)
            else:
                await self.app(scope, receive, send_and_note)
        finally:
            prometheus.count_request(path, status, time.perf_counter() - started)


async def _read_body(request: Request, most: int) -> bytes:
    """Raises: _RefusedError: the body has more than `most` bytes; the rest is not read."""
    too_large = _RefusedError(413, "too_large", f"a body has at most {most} bytes: send fewer rows")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise too_large
    return bytes(body)


def _invalid(error: ValidationError) -> _RefusedError:
    """Which field is wrong, and how; never its value."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    indices = ".".join(str(part) for part in first["loc"] if isinstance(part, int)) or "body"
    names = [str(part) for part in first["loc"] if isinstance(part, str)]
    kind = first["type"]
    # The name of an unknown field is part of the request, so it is not repeated.
    field = ".".join(names) if names and kind != "extra_forbidden" else "an unknown field"
    return _RefusedError(422, "invalid", f"{field} ({indices}) is invalid: {kind}")


def _is_authorized(headers: Headers, token: str) -> bool:
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            credential = base64.b64decode(credential, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(credential.encode(), token.encode())


def _error(refused: _RefusedError) -> Response:
    body = ErrorMessage(code=refused.code, message=refused.message)
    headers = {"Retry-After": str(RETRY_AFTER)} if refused.retry else {}
    return Response(body.model_dump_json(), refused.status, headers, media_type="application/json")


class ErrorMessage(BaseModel):
    """Body of every error; `code` is stable."""

    code: str
    message: str


def _errors() -> dict[int | str, dict[str, Any]]:
    descriptions = {
        401: "No token, or a wrong one",
        413: "Too many rows or bytes",
        422: "The body does not match the schema",
        429: "The worker is busy: wait as Retry-After says",
    }
    return {code: {"model": ErrorMessage, "description": why} for code, why in descriptions.items()}


def _body(form: type[BaseModel]) -> dict[str, Any]:
    """Schema of a body that is read raw, for the OpenAPI page; references are inlined."""
    schema = form.model_json_schema(ref_template="#/components/schemas/{model}")
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, schema.get("$defs", {}))}},
        }
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(part, definitions) for name, part in schema.items() if name != "$defs"}

"""The web application of one reward worker.

Bodies are read raw, up to a limit, and checked by pydantic; an error says what is wrong with which
field and repeats nothing of the request. Where as many requests are being scored as may, the next
one is told to come back (429).
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ValidationError

import repic
from repic.rewards.service import metrics, openrlhf
from repic.rewards.service.protocol import (
    SCHEMA,
    Score,
    ScoreRequest,
    ScoreResponse,
    scored,
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


class Place:
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


def create_app(token: str | None = None, limits: Limits | None = None) -> FastAPI:
    """The application.

    Args:
        token: Asked of every request but `/healthz`, as Bearer or as the password of Basic.
    """
    limits = limits or Limits()
    app = FastAPI(
        title="RePIC rewards",
        version=repic.__version__,
        description="Scores of answers to rows of the three objectives; see docs/reward-workers.md",
        docs_url=None,
        redoc_url=None,
    )
    place = Place(limits.at_once)

    @app.middleware("http")
    async def guarded(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.perf_counter()
        if token and request.url.path not in OPEN and not _is_known(request, token):
            response = _error(
                RefusedError(401, "unauthorized", "give the token of REPIC_REWARD_TOKEN")
            )
            response.headers["WWW-Authenticate"] = "Bearer"
        else:
            response = await call(request)
        metrics.request(request.url.path, response.status_code, time.perf_counter() - started)
        return response

    @app.get("/healthz", summary="Whether this worker answers")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", "version": repic.__version__, "schema_version": SCHEMA}

    @app.get("/metrics", summary="Counters of all workers, for Prometheus")
    async def read_metrics() -> Response:
        return Response(metrics.exposed(), media_type=metrics.CONTENT_TYPE)

    @app.post(
        "/v1/score",
        summary="Score answers",
        response_model=ScoreResponse,
        responses=_errors(),
        openapi_extra=_body(ScoreRequest),
    )
    async def score_rows(request: Request) -> Response:
        def score(asked: ScoreRequest) -> ScoreResponse:
            convention = asked.convention.convention()
            scores = [
                scored(item.completion, item.row.model_dump(), asked.mode, convention)
                for item in asked.rows
            ]
            _count(asked, scores)
            return ScoreResponse(scores=scores)

        return await answered(request, ScoreRequest, lambda asked: len(asked.rows), score)

    @app.post(
        "/get_reward",
        summary="Score answers in OpenRLHF's protocol",
        response_model=openrlhf.Rewards,
        responses=_errors(),
        openapi_extra=_body(openrlhf.Queries),
    )
    async def get_reward(request: Request) -> Response:
        try:
            how = openrlhf.How.model_validate(dict(request.query_params))
        except ValidationError as error:
            return _error(_invalid(error))
        return await answered(
            request,
            openrlhf.Queries,
            lambda asked: len(asked.query),
            lambda asked: openrlhf.rewards(asked, how),
        )

    async def answered(
        request: Request,
        form: type[Any],
        size: Callable[[Any], int],
        score: Callable[[Any], BaseModel],
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
                made = score(asked)  # a thread would only wait for the interpreter's lock
                return Response(made.model_dump_json(), media_type="application/json")
        except RefusedError as refused:
            return _error(refused)

    return app


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


def _is_known(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
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


def _count(asked: ScoreRequest, scores: list[Score]) -> None:
    for item, given in zip(asked.rows, scores, strict=True):
        metrics.row(item.row.objective, given.reward)

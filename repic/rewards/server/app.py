"""The web application of one reward worker.

`repic.web.guard` checks every request first. Bodies are checked by pydantic; an error says what is
wrong with which field and repeats nothing of the request. A request that is complete takes a place;
beyond the places of a worker it gets a 429 with Retry-After.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from repic import config
from repic.objectives.base import Mode
from repic.rewards.components import Component, RewardedAnswer
from repic.rewards.server import openrlhf, prometheus
from repic.rewards.server.batching import BatchedComponent
from repic.rewards.server.protocol import (
    EMPTY,
    SCHEMA,
    SENTENCE,
    Completion,
    ConventionMessage,
    ScoreMessage,
    ScoreRequest,
    ScoreResponse,
    reward_of,
    score_of,
    score_row,
)
from repic.rewards.wrappers import Wrapper, bare_answer, without_thoughts
from repic.web.guard import LOOPBACK, Guard, GuardRules, RefusedError, busy

CLIENT_GONE = 499
"""Status under which a request is counted whose client left before its reply."""


@dataclass(frozen=True)
class Limits:
    """Limits of one worker.

    Attributes:
        rows: Rows of one request.
        bytes: Bytes of one body.
        at_once: Requests that are scored or wait to be scored at the same time; more get a 429.
        body_seconds: Seconds within which a body must have arrived.
        all_bytes: Bytes of the bodies of all requests in progress; more get a 429.
    """

    rows: int = 1024
    bytes: int = 8 << 20
    at_once: int = 64
    body_seconds: float = 30.0
    all_bytes: int = 256 << 20


class _RequestSlots:
    """Counts the requests in progress, so that the queue is bounded."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def __enter__(self) -> None:
        if self.taken >= self.most:
            raise busy(f"{self.most} requests are being scored")
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


def create_app(
    token: str | None = None,
    limits: Limits | None = None,
    components: Sequence[Component] = (),
    hosts: Collection[str] | None = LOOPBACK,
    strip: Collection[Wrapper] = (),
) -> FastAPI:
    """The application.

    Args:
        token: Required of every request except `/healthz`, as Bearer or as the password of Basic.
        components: Model-based penalties, applied one after the other.
        hosts: Names under which clients may call it; None: any, which requires a token.
        strip: Wrappers that are no part of an answer, besides those that a request names.
    """
    limits = limits or Limits()
    app = FastAPI(
        title="RePIC rewards",
        version=config.version(),
        description="Scores of answers to rows of the three objectives; see docs/reward-workers.md",
        docs_url=None,
        redoc_url=None,
    )
    rules = GuardRules(
        token=token,
        hosts=hosts,
        body=limits.bytes,
        body_seconds=limits.body_seconds,
        all_bodies=limits.all_bytes,
    )
    app.add_middleware(Guard, rules=rules)
    app.add_middleware(CountedRequests)
    app.include_router(_state_routes())
    app.include_router(_score_routes(_Worker(limits, components, strip)))
    return app


def _state_routes() -> APIRouter:
    """Routes about the worker itself."""
    routes = APIRouter()

    @routes.get("/healthz", summary="Health of this worker")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", "version": config.version(), "schema_version": SCHEMA}

    @routes.get("/metrics", summary="Counters of all workers, for Prometheus")
    async def read_metrics() -> Response:
        return Response(prometheus.exposed(), media_type=prometheus.CONTENT_TYPE)

    return routes


def _score_routes(worker: _Worker) -> APIRouter:
    """Routes that score answers."""
    routes = APIRouter()

    @routes.post(
        "/v1/score",
        summary="Score answers",
        response_model=ScoreResponse,
        responses=_errors(),
        openapi_extra=_body(ScoreRequest),
    )
    async def score_rows(request: Request) -> Response:
        return await worker.reply(request, ScoreRequest, lambda b: len(b.rows), worker.scored)

    @routes.post(
        "/get_reward",
        summary="Score answers in OpenRLHF's protocol",
        response_model=openrlhf.OpenRlhfResponse,
        responses=_errors(),
        openapi_extra=_body(openrlhf.OpenRlhfRequest),
    )
    async def get_reward(request: Request) -> Response:
        form = openrlhf.OpenRlhfRequest
        try:
            options = openrlhf.OpenRlhfOptions.model_validate(dict(request.query_params))
        except ValidationError as error:
            return _error(_invalid(error))
        return await worker.reply(
            request, form, lambda b: len(b.query), partial(worker.scored_for_openrlhf, options)
        )

    return routes


class _Worker:
    """Scores the answers of requests, as many requests at once as its limits allow."""

    def __init__(
        self, limits: Limits, components: Sequence[Component], strip: Collection[Wrapper]
    ) -> None:
        self._limits, self._strip = limits, strip
        self._slots = _RequestSlots(limits.at_once)
        self._components = [BatchedComponent(component) for component in components]

    async def reply(
        self,
        request: Request,
        form: type[Any],
        rows: Callable[[Any], int],
        respond: Callable[[Any], Awaitable[BaseModel]],
    ) -> Response:
        """The response to a request, or the error that says what is wrong with it.

        Args:
            form: What its body must be.
            rows: Body -> number of its rows.
            respond: Body -> body of the response.
        """
        most = self._limits.rows
        try:
            text = await request.body()
            with self._slots:
                try:
                    body = form.model_validate_json(text)
                except ValidationError as error:
                    raise _invalid(error) from None
                if rows(body) > most:
                    raise RefusedError(413, "too_many_rows", f"at most {most} rows per request")
                reply = await respond(body)
                return Response(reply.model_dump_json(), media_type="application/json")
        except RefusedError as refused:
            return _error(refused)

    async def scored(self, body: ScoreRequest) -> ScoreResponse:
        scores = await self._score(body.rows, body.mode, body.convention, body.strip)
        return ScoreResponse.model_construct(scores=scores)

    async def scored_for_openrlhf(
        self, options: openrlhf.OpenRlhfOptions, body: openrlhf.OpenRlhfRequest
    ) -> openrlhf.OpenRlhfResponse:
        completions = openrlhf.completions(body)
        valid = [completion for completion in completions if completion]
        scores = iter(await self._score(valid, options.mode, options, options.strip))
        prometheus.count_answers(("unknown", None) for c in completions if c is None)
        return openrlhf.rewards([next(scores) if c else None for c in completions])

    async def _score(
        self,
        received: Sequence[Completion],
        mode: Mode,
        message: ConventionMessage,
        wrappers: Collection[Wrapper],
    ) -> list[ScoreMessage]:
        # Not in a thread, which would only wait for the interpreter lock.
        convention = message.convention()
        completions = bare_completions(received, {*self._strip, *wrappers}, mode)
        scores = [score_row(c.completion, c.row, mode, convention) for c in completions]
        for component in self._components:
            scores = await _lowered(completions, scores, component)
        prometheus.count_answers(
            (completion.row["objective"], result.reward)
            for completion, result in zip(completions, scores, strict=True)
        )
        return scores


def bare_completions(
    received: Sequence[Completion], strip: Collection[Wrapper], mode: Mode
) -> list[Completion]:
    """The answers that are scored, without what is no part of them."""
    return [
        c.model_copy(update={"completion": bare_answer(c.completion, strip, end=mode == "strict")})
        for c in received
    ]


async def _lowered(
    completions: Sequence[Completion], scores: list[ScoreMessage], component: BatchedComponent
) -> list[ScoreMessage]:
    """Scores lowered by a component; a score without a reward is unchanged."""
    answers = {
        index: RewardedAnswer(
            without_thoughts(completion.completion), {**EMPTY, **completion.row}, reward
        )
        for index, (completion, result) in enumerate(zip(completions, scores, strict=True))
        if (reward := reward_of(result)) is not None
    }
    lowered = list(scores)
    rewards = await component.rewards(list(answers.values()))
    for index, reward in zip(answers, rewards, strict=True):
        lowered[index] = score_of(reward)
    return lowered


class CountedRequests:
    """Counts requests; plain ASGI, since it runs for every request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), CLIENT_GONE

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception:
            status = 500
            raise
        finally:
            prometheus.count_request(scope["path"], status, time.perf_counter() - started)


def _invalid(error: ValidationError) -> RefusedError:
    """Which field is wrong, and how; never its value."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    indices = ".".join(str(part) for part in first["loc"] if isinstance(part, int)) or "body"
    names = [str(part) for part in first["loc"] if isinstance(part, str)]
    kind = first["type"]
    if kind == SENTENCE:
        return RefusedError(422, "invalid", first["msg"])
    # The name of an unknown field is part of the request, so it is not repeated.
    field = ".".join(names) if names and kind != "extra_forbidden" else "an unknown field"
    return RefusedError(422, "invalid", f"{field} ({indices}) is invalid: {kind}")


def _error(refused: RefusedError) -> Response:
    body = ErrorMessage(code=refused.code, message=refused.message)
    return Response(
        body.model_dump_json(), refused.status, refused.headers, media_type="application/json"
    )


class ErrorMessage(BaseModel):
    """Body of every error; `code` is stable."""

    code: str
    message: str


def _errors() -> dict[int | str, dict[str, Any]]:
    descriptions = {
        400: "A header is given twice, or contradicts another",
        401: "No token, or a wrong one",
        403: "A page of another site asks",
        408: "The body arrived too slowly",
        413: "Too many rows or bytes",
        415: "The body is encoded",
        421: "Host names another server",
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

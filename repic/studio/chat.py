"""`POST /v1/chat/completions` and `GET /v1/models`, as OpenAI's API has them.

Any of its clients can use a checkpoint of the store or a shipped model, with pictures as data URLs
and, beyond that API, `references`: named pictures that the model knows in the whole conversation.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from secrets import token_hex
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repic.errors import FIXABLE, RepicError
from repic.evaluation.questions import introduction
from repic.models.shipped import VLMS
from repic.models.vlm.generate import ChatOptions, ChatReply
from repic.studio import uploads
from repic.studio.model_process import ModelBusyError, ModelProcessError, models_of
from repic.studio.model_work import ChatTask
from repic.studio.pages.playground import check_name
from repic.studio.site import Studio
from repic.studio.uploads import UploadRefusedError
from repic.web.guard import RefusedError
from storage.errors import StoreError
from storage.store import Store

PATH, ROOT = "/v1/chat/completions", "/v1/"
PICTURES, CHARACTERS = 8, 20_000
"""Of a conversation with its references."""

TOKENS = 256, 1024
"""Of a reply: unless the request says so, and at most."""

UNSUPPORTED = ("tools", "functions", "response_format", "logprobs", "audio", "modalities")
"""Fields that would change the answer. Others that are unknown are ignored, as servers do."""


class ChatText(BaseModel):
    """A text in a message."""

    type: Literal["text"]
    text: str


class ChatUrl(BaseModel):
    """Where a picture is: a data URL."""

    url: str


class ChatPicture(BaseModel):
    """A picture in a message."""

    type: Literal["image_url"]
    image_url: ChatUrl


ChatPart = Annotated[ChatText | ChatPicture, Field(discriminator="type")]


class ChatMessage(BaseModel):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ChatPart]

    def parts(self) -> list[ChatPart]:
        """Its texts and pictures."""
        if isinstance(self.content, str):
            return [ChatText(type="text", text=self.content)]
        return self.content


class ChatReference(BaseModel):
    """A named picture that the model knows."""

    name: str = Field(max_length=60)
    image: str
    info: str = Field("", max_length=300)


class StreamOptions(BaseModel):
    """Options of `stream`."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[ChatMessage] = Field(min_length=1, max_length=100)
    references: list[ChatReference] = Field([], max_length=PICTURES)
    max_tokens: int | None = Field(None, ge=1, le=TOKENS[1])
    max_completion_tokens: int | None = Field(None, ge=1, le=TOKENS[1])
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stop: str | list[str] | None = None
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class ChatRefusedError(RepicError):
    """A request that is refused, as OpenAI's API says it."""

    def __init__(
        self, message: str, status: int = 400, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


def routes(studio: Studio) -> APIRouter:
    """Routes of the API."""
    routes = APIRouter(prefix=ROOT.rstrip("/"))

    @routes.get("/models")
    def models() -> dict[str, Any]:
        data = [_model(studio.store, name) for name in models_of(studio.store)]
        return {"object": "list", "data": data}

    @routes.post("/chat/completions")
    async def completions(request: Request) -> Response:
        return await run_in_threadpool(partial(_completed, studio, await request.body()))

    return routes


def error_content(status: int, message: str, code: str | None, param: str | None = None) -> Any:
    """The body of an error."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(status: int, message: str) -> Response:
    """An error of an address of the API that does not exist or takes no such request."""
    return JSONResponse(error_content(status, message, None), status)


def refusal_content(path: str, refused: RefusedError) -> object:
    """What the guard answers: to paths of the API in its own form."""
    if path.startswith(ROOT):
        return error_content(refused.status, refused.message, refused.code)
    return refused.content


def _model(store: Store, name: str) -> dict[str, Any]:
    created = 0 if name in VLMS else int(store.manifest(name).created.timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": "repic"}


def _completed(studio: Studio, body: bytes) -> Response:
    try:
        asked = _read(body)
        model = _model_name(studio.store, asked.model)
        most = asked.max_completion_tokens or asked.max_tokens or TOKENS[0]
        options = ChatOptions(asked.temperature or 0.0, asked.top_p or 1.0, asked.seed or 0, most)
        reply = studio.models.ask(ChatTask(model, tuple(_turns(asked)), options))
    except FIXABLE as error:
        return _refused(error)
    text, is_stopped = _until(reply.text, asked.stop)
    finish = "stop" if reply.is_complete or is_stopped else "length"
    common = {"id": f"chatcmpl-{token_hex(12)}", "created": int(time.time()), "model": model}
    if asked.stream:
        usage = _usage(reply) if asked.stream_options and asked.stream_options.include_usage else {}
        parts = _streamed(common, text, finish, usage)
        return StreamingResponse(parts, media_type="text/event-stream")
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    whole = {**common, "object": "chat.completion", "choices": [choice], "usage": _usage(reply)}
    return JSONResponse(whole)


def _read(body: bytes) -> ChatRequest:
    try:
        asked = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(map(str, first["loc"])) or None
        message = f"{param}: {first['msg']}" if param else first["msg"]
        raise ChatRefusedError(message, param=param) from None
    for name in UNSUPPORTED:
        if (asked.model_extra or {}).get(name) not in (None, False, [], {"type": "text"}):
            raise ChatRefusedError(
                f"{name} is not supported: leave it out", code="unsupported_parameter", param=name
            )
    if asked.messages[-1].role != "user":
        raise ChatRefusedError("the last message must be of the user", param="messages")
    return asked


def _model_name(store: Store, asked: str) -> str:
    """The exact version of a model."""
    try:
        if asked.startswith("checkpoint@"):
            asked = str(store.resolve(asked))
        if asked in models_of(store):
            return asked
    except StoreError:
        pass
    message = f"there is no model {asked[:80]!r}: GET /v1/models lists them"
    raise ChatRefusedError(message, 404, "model_not_found", "model")


def _turns(asked: ChatRequest) -> Iterator[dict[str, Any]]:
    """The conversation with pictures as bytes; references come before the first user's turn."""
    counted = _Counted()
    memory = list(_memory(asked, counted))
    for message in asked.messages:
        blocks = []
        for part in message.parts():
            if isinstance(part, ChatText):
                blocks.append(counted.text(part.text))
            elif message.role == "user":
                blocks.append(counted.picture(part.image_url.url))
            else:
                raise ChatRefusedError("only users can send pictures", param="messages")
        if message.role == "user":
            blocks, memory = [*memory, *blocks], []
        role = "system" if message.role == "developer" else message.role
        yield {"role": role, "content": blocks}


def _memory(asked: ChatRequest, counted: _Counted) -> Iterator[dict[str, Any]]:
    names: list[str] = []
    for reference in asked.references:
        check_name(reference.name, names)
        names.append(reference.name)
        yield counted.picture(reference.image)
        yield counted.text(introduction(reference.name, reference.info))


class _Counted:
    """Blocks of a conversation, within its limits."""

    def __init__(self) -> None:
        self._pictures = self._characters = 0

    def text(self, text: str) -> dict[str, Any]:
        self._characters += len(text)
        if self._characters > CHARACTERS:
            raise ChatRefusedError(f"a conversation has at most {CHARACTERS:,} characters")
        # A JSON text can hold half of a surrogate pair, which no tokenizer takes.
        return {"type": "text", "text": text.encode(errors="replace").decode()}

    def picture(self, url: str) -> dict[str, Any]:
        self._pictures += 1
        if self._pictures > PICTURES:
            raise ChatRefusedError(f"a conversation has at most {PICTURES} pictures")
        data = uploads.data_of_url(url)
        uploads.decoded(data, f"picture {self._pictures}")
        return {"type": "image", "image": data}


def _until(text: str, stop: str | list[str] | None) -> tuple[str, bool]:
    """The text before the first of the strings, and whether there is one."""
    strings = [stop] if isinstance(stop, str) else stop or []
    places = [place for string in strings if string and (place := text.find(string)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def _usage(reply: ChatReply) -> dict[str, int]:
    asked, made = reply.prompt_tokens, reply.tokens
    return {"prompt_tokens": asked, "completion_tokens": made, "total_tokens": asked + made}


def _streamed(
    common: dict[str, Any], text: str, finish: str, usage: dict[str, int]
) -> Iterator[str]:
    """Server-sent events: the whole text is one of them."""

    def event(choices: list[dict[str, Any]], **more: Any) -> str:
        chunk = {**common, "object": "chat.completion.chunk", "choices": choices, **more}
        return f"data: {json.dumps(chunk)}\n\n"

    delta = {"role": "assistant", "content": text}
    yield event([{"index": 0, "delta": delta, "finish_reason": None}])
    yield event([{"index": 0, "delta": {}, "finish_reason": finish}])
    if usage:
        yield event([], usage=usage)
    yield "data: [DONE]\n\n"


def _refused(error: Exception) -> Response:
    status, code, param = 400, None, None
    headers = {}
    match error:
        case ChatRefusedError():
            status, code, param = error.status, error.code, error.param
        case ModelBusyError():
            status, code, headers = 429, "busy", {"Retry-After": "5"}
        case ModelProcessError():
            status, code = 503, "model_failed"
        case UploadRefusedError():
            code = "invalid_image"
    return JSONResponse(error_content(status, str(error), code, param), status, headers)

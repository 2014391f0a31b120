"""The OpenAI-compatible API of the studio: real clients, its form, its limits and its refusals."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from repic.models.openai_client import complete, image_part, text_part
from repic.studio.app import create_app
from repic.studio.model_process import ModelBusyError
from repic.studio.site import Studio
from repic.web.replies import ReplyError
from tests.builds import Built
from tests.studio import worlds
from tests.studio.chromium import served
from tests.studio.conftest import HERE
from tests.studio.test_playground import picture
from tests.trained import Trained, tiny, trained

__all__ = ["tiny", "trained"]  # fixtures

PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return worlds.photos(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def api(built: Built) -> Iterator[TestClient]:
    with TestClient(create_app(Studio(built.store)), base_url=HERE) as opened:
        yield opened


def url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def user(*parts: str | bytes) -> dict[str, Any]:
    """A turn of texts and pictures."""
    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": url(part)}}
        for part in parts
    ]
    return {"role": "user", "content": content}


def body(*messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"model": "sample-full", "messages": list(messages), "max_tokens": 40, **options}


def references(photos: dict[str, Path]) -> list[dict[str, str]]:
    return [{"name": n, "image": url(photos[n].read_bytes())} for n in ("Andrea", "Rex")]


@pytest.mark.slow
def test_our_own_client_captions_a_photo_with_references(
    built: Built, photos: dict[str, Path]
) -> None:
    with Image.open(photos["photo"]) as photo, served(built.store) as address:
        content = [image_part(photo.convert("RGB")), text_part("Please describe this photo.")]
        asked = body({"role": "user", "content": content}, references=references(photos))
        told = complete(f"{address}/v1", asked, 300)
        assert "<Andrea>" in told
        assert complete(f"{address}/v1", {**asked, "stop": "<"}, 300) == told.partition("<")[0]
        with pytest.raises(ReplyError, match="there is no model") as error:
            complete(f"{address}/v1", {**asked, "model": "gpt"}, 60)
        assert error.value.status == 404


@pytest.mark.slow
def test_the_form_of_a_reply(api: TestClient, photos: dict[str, Path]) -> None:
    photo = photos["photo"].read_bytes()
    asked = body(user(photo, "Caption this."), references=references(photos))
    reply = api.post(PATH, json=asked).json()
    (choice,) = reply["choices"]
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "sample-full"
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "stop"
    usage = reply["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 2
    assert api.post(PATH, json=asked).json()["choices"] == reply["choices"]  # greedy
    cut = api.post(PATH, json={**asked, "max_tokens": 2}).json()
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 2
    without = api.post(PATH, json={**asked, "references": []}).json()
    assert without["usage"]["prompt_tokens"] < usage["prompt_tokens"]
    # Named pictures in the turn itself are the same as references.
    inline = [p for n in ("Andrea", "Rex") for p in (photos[n].read_bytes(), f"This is <{n}>.")]
    same = api.post(PATH, json=body(user(*inline, photo, "Caption this."))).json()
    assert same["choices"] == reply["choices"]
    assert same["usage"] == usage


def test_turns_are_remembered(api: TestClient) -> None:
    first = user(picture(), "What is it?")
    said = {"role": "assistant", "content": "A green square."}
    system = {"role": "system", "content": "Be short."}
    one = api.post(PATH, json=body(first, max_tokens=1)).json()["usage"]["prompt_tokens"]
    more = api.post(PATH, json=body(system, first, said, user("Sure?"), max_tokens=1)).json()
    assert more["usage"]["prompt_tokens"] > one


def test_a_stream(api: TestClient) -> None:
    asked = body(user(picture(), "Caption this."), max_tokens=4)
    whole = api.post(PATH, json=asked).json()
    streamed = {**asked, "stream": True, "stream_options": {"include_usage": True}}
    reply = api.post(PATH, json=streamed)
    assert reply.headers["content-type"].startswith("text/event-stream")
    *events, done = [line[6:] for line in reply.text.split("\n\n") if line]
    assert done == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    texts = [c["delta"].get("content", "") for chunk in chunks for c in chunk["choices"]]
    assert "".join(texts) == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"] == whole["usage"]


@pytest.mark.slow
def test_a_checkpoint_answers(trained: Trained) -> None:
    with TestClient(create_app(Studio(trained.store)), base_url=HERE) as api:
        listed = api.get("/v1/models").json()
        names = [model["id"] for model in listed["data"]]
        assert listed["object"] == "list"
        assert names[-2:] == ["sample-full", "sample-base"]
        assert names[0].startswith("checkpoint@v")
        asked = body(user(picture(), "Hi"), max_tokens=1)
        reply = api.post(PATH, json={**asked, "model": "checkpoint@latest"}).json()
        assert reply["model"] == names[0]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"model": "/etc/passwd"}, 404, "there is no model"),
        ({"model": "checkpoint@v99"}, 404, "there is no model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [user("x"), {"role": "assistant", "content": "y"}]}, 400, "of the user"),
        ({"messages": [{"role": "tool", "content": "y"}]}, 400, "messages.0.role"),
        ({"messages": [user("x" * 20_001)]}, 400, "20,000 characters"),
        ({"messages": [user(*[picture()] * 9)]}, 400, "8 pictures"),
        ({"messages": [user(b"no picture")]}, 400, "Picture 1 cannot be used: not-an-image"),
        ({"references": [{"name": "<b>", "image": url(picture())}]}, 400, "without < and >"),
        ({"references": [{"name": "Rex", "image": "Rex.jpg"}]}, 400, "nothing is fetched"),
        ({"references": [{"name": "Rex", "image": url(picture())}] * 2}, 400, "Two references"),
        ({"tools": [{"type": "function"}]}, 400, "tools is not supported"),
        ({"n": 2}, 400, "n: "),
        ({"max_tokens": 5000}, 400, "max_tokens"),
        ({"temperature": 9}, 400, "temperature"),
    ],
)
def test_refusals_have_the_form_of_the_api(
    api: TestClient, change: dict[str, Any], status: int, said: str
) -> None:
    reply = api.post(PATH, json={**body(user("Hi")), **change})
    assert reply.status_code == status
    error = reply.json()["error"]
    assert said in error["message"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:1/x.jpg", "file:///etc/passwd", "/etc/passwd", "memory://x", "data:,x"],
)
def test_nothing_is_fetched(api: TestClient, address: str) -> None:
    part = {"type": "image_url", "image_url": {"url": address}}
    reply = api.post(PATH, json=body({"role": "user", "content": [part]}))
    assert reply.status_code == 400
    assert "nothing is fetched" in reply.json()["error"]["message"]


def test_broken_bodies_and_other_addresses(api: TestClient) -> None:
    for content in (b"", b"{", b"[]", b"\xff", b'{"model": ' + b"[" * 100_000):
        reply = api.post(PATH, content=content)
        assert reply.status_code == 400
        assert reply.json()["error"]["message"]
    assert api.get("/v1/nope").json()["error"]["type"] == "invalid_request_error"
    assert api.get(PATH).status_code == 405


def test_the_guard_is_before_it(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio(built.store)
    api = TestClient(create_app(studio, token="secret", hosts=None), base_url=HERE)
    asked = body(user("Hi"))
    refused = api.post(PATH, json=asked)
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == "authentication_error"
    key = {"authorization": "Bearer secret"}
    assert api.get("/v1/models", headers=key).status_code == 200
    foreign = api.post(PATH, json=asked, headers={**key, "origin": "http://evil.example"})
    assert foreign.json()["error"]["code"] == "foreign_origin"
    here = TestClient(create_app(studio), base_url=HERE)
    assert here.post(PATH, json=asked, headers={"host": "evil.example"}).status_code == 421

    def busy(task: object) -> None:
        raise ModelBusyError("busy")

    monkeypatch.setattr(studio.models, "ask", busy)
    reply = here.post(PATH, json=asked)
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "5"
    assert reply.json()["error"]["type"] == "rate_limit_error"

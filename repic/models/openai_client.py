"""Requests to the `chat/completions` of an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from repic.web import replies
from repic.web.replies import ReplyError

if TYPE_CHECKING:
    from PIL import Image

    from repic.config import JudgeSettings

MAX_REPLY = 4_000_000
"""Maximum bytes of a reply."""

QUALITY = 95
"""JPEG quality of pictures that are sent."""

PAUSE = 0.5
"""Seconds before a second try, doubled before each further one, unless the server names a time."""

TRIES = 3
"""Requests for a short reply; a busy or broken server is asked again, see `complete`."""


def complete(
    url: str, body: dict[str, Any], timeout: float, api_key: str | None = None, tries: int = 1
) -> str:
    """The text of the reply to a chat request.

    Args:
        url: Base address of the server, such as `http://host:8000/v1`.
        body: The request: `model`, `messages` and the options of generation.
        timeout: Seconds from the connection to the end of the reply, of each try.
        api_key: Sent as a bearer token, to this server alone.
        tries: Requests until one succeeds. Another one follows a 429 or an error of the server,
            after the time that Retry-After names (at most `replies.MAX_WAIT` seconds) or a pause,
            and a failed connection; none follows a request that took its full time.

    Raises:
        ReplyError: no reply, an error of the server (its `status` is set), or no text in the reply.
    """
    reply = replies.run_now(_ask(url, json.dumps(body).encode(), timeout, api_key, tries))
    if not 200 <= reply.status < 300:
        said = reply.body[:800].decode("utf-8", "replace")
        raise ReplyError(f"status {reply.status}", said or "no text", reply.status)
    try:
        text = replies.parsed(reply.body)["choices"][0]["message"]["content"]
    except (LookupError, TypeError):
        raise ReplyError("no text", "the reply has no choice with a message") from None
    if not isinstance(text, str):
        raise ReplyError("no text", "the content of its message is not text")
    # JSON can hold half of a surrogate pair, which no file can.
    return text.encode(errors="replace").decode()


def short_reply(settings: JudgeSettings, task: str, content: str | Sequence[dict[str, Any]]) -> str:
    """The most probable short reply of the language model that judges.

    Args:
        task: The system message.
        content: What to judge: text, or parts of text and pictures.

    Raises:
        ReplyError: as `complete`.
    """
    body = {
        "model": settings.model,
        "temperature": 0,
        "max_tokens": 16,
        "messages": [{"role": "system", "content": task}, {"role": "user", "content": content}],
    }
    key = os.environ.get(settings.api_key_env) if settings.api_key_env else None
    return complete(settings.url or "", body, settings.timeout, key, TRIES)


async def _ask(
    url: str, content: bytes, timeout: float, api_key: str | None, tries: int
) -> replies.Reply:
    address = f"{url.rstrip('/')}/chat/completions"
    async with replies.client() as http:
        for attempt in range(1, tries + 1):
            pause = PAUSE * 2 ** (attempt - 1)
            try:
                reply = await replies.post(http, address, content, api_key, timeout, MAX_REPLY)
            except ReplyError as error:
                if attempt == tries or error.kind == "timeout":
                    raise
            else:
                if attempt == tries or not (reply.status == 429 or reply.status >= 500):
                    return reply
                pause = replies.retry_after(reply.headers) or pause
            await asyncio.sleep(pause)
    raise AssertionError("the last try returns or raises")


def text_part(text: str) -> dict[str, Any]:
    """A text as part of a message."""
    return {"type": "text", "text": text}


def image_part(image: Image.Image, max_pixels: int | None = None) -> dict[str, Any]:
    """A picture as part of a message: a JPEG as data URL.

    Args:
        max_pixels: A picture with more pixels is scaled down.
    """
    if max_pixels and image.width * image.height > max_pixels:
        scale = math.sqrt(max_pixels / (image.width * image.height))
        image = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, subsampling=0)
    encoded = base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}}

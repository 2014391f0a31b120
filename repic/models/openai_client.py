"""One request to the `chat/completions` of an OpenAI-compatible server."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import httpx

MAX_REPLY = 4_000_000
"""Maximum bytes of a reply that are read."""


def complete(url: str, body: dict[str, Any], timeout: float, api_key: str | None = None) -> str:
    """The text of the reply to a chat request.

    Args:
        url: Base address of the server, such as `http://host:8000/v1`.
        body: The request: `model`, `messages` and the options of generation.
        timeout: Seconds to connect, and between two parts of the reply.
        api_key: Sent as a bearer token.

    Raises:
        httpx.HTTPStatusError: the server answers with an error; its response has been read.
        httpx.HTTPError, httpx.InvalidURL, OSError: no reply.
        ValueError, LookupError, TypeError: the reply is too long or has no text.
    """
    address = f"{url.rstrip('/')}/chat/completions"
    headers = {"Content-Type": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    content = json.dumps(body)
    with _client().stream(
        "POST", address, content=content, headers=headers, timeout=timeout
    ) as reply:
        text = bytearray()
        for part in reply.iter_bytes():
            text += part
            if len(text) > MAX_REPLY:
                raise ValueError(f"the reply has more than {MAX_REPLY} bytes")
        if not reply.is_success:
            raise httpx.HTTPStatusError(
                text[:300].decode("utf-8", "replace").strip() or reply.reason_phrase,
                request=reply.request,
                response=reply,
            )
    message = json.loads(text)["choices"][0]["message"]["content"]
    if not isinstance(message, str):
        raise TypeError(f"its content is {message!r}")
    return message


@cache
def _client() -> httpx.Client:
    """One client for all threads: making its TLS context takes longer than a request."""
    return httpx.Client(limits=httpx.Limits(max_connections=None))

"""One request to the `chat/completions` of an OpenAI-compatible server."""

from __future__ import annotations

import json
from typing import Any

from repic.web import replies
from repic.web.replies import ReplyError

MAX_REPLY = 4_000_000
"""Maximum bytes of a reply."""


def complete(url: str, body: dict[str, Any], timeout: float, api_key: str | None = None) -> str:
    """The text of the reply to a chat request.

    Args:
        url: Base address of the server, such as `http://host:8000/v1`.
        body: The request: `model`, `messages` and the options of generation.
        timeout: Seconds from the connection to the end of the reply.
        api_key: Sent as a bearer token, to this server alone.

    Raises:
        ReplyError: no reply, an error of the server (its `status` is set), or no text in the reply.
    """
    reply = replies.run_now(_ask(url, json.dumps(body).encode(), timeout, api_key))
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


async def _ask(url: str, content: bytes, timeout: float, api_key: str | None) -> replies.Reply:
    address = f"{url.rstrip('/')}/chat/completions"
    async with replies.client() as http:
        return await replies.post(http, address, content, api_key, timeout, MAX_REPLY)

"""A small OpenAI-compatible server that decodes the pictures of a request."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

Reply = Callable[[list[str], list[Image.Image]], str]
"""Caption from the names in the prompt and the pictures."""


class Http(ThreadingHTTPServer):
    """Accepts a batch of connections; the default backlog of 5 resets some on a busy machine."""

    request_queue_size = 128


class CaptionServer:
    """Answers `chat/completions` and keeps the requests.

    Attributes:
        requests: Bodies of all requests so far.
        fails: Number of next requests to answer with an error.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply, self.requests, self.fails = reply, [], 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body)
                if outer.fails:
                    outer.fails -= 1
                    self.send_error(503, "loading")
                    return
                raw = json.dumps(
                    {"choices": [{"message": {"content": outer.answer(body)}}]}
                ).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = Http(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def answer(self, body: dict[str, Any]) -> str:
        [turn] = body["messages"]
        texts = [block["text"] for block in turn["content"] if block["type"] == "text"]
        urls = [b["image_url"]["url"] for b in turn["content"] if b["type"] == "image_url"]
        pictures = [Image.open(io.BytesIO(base64.b64decode(u.partition(",")[2]))) for u in urls]
        names = [name for text in texts for name in re.findall(r"<([^<>]+)>", text)]
        return self.reply(names, pictures)


@contextmanager
def serving(reply: Reply) -> Iterator[CaptionServer]:
    server = CaptionServer(reply)
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()


def name_all(names: list[str], pictures: list[Image.Image]) -> str:
    """A caption with the names of all references."""
    assert len(pictures) == len(names) + 1
    return " and ".join(f"<{name}>" for name in names) + " are here." if names else "Grass."


def name_none(names: list[str], pictures: list[Image.Image]) -> str:
    """A caption without names."""
    return "Some things on a table."

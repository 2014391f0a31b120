"""A small OpenAI-compatible server that looks at the pictures it is sent."""

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
"""From the names that are given and the pictures to a caption."""


class Http(ThreadingHTTPServer):
    """Takes a batch of callers at once; the default of 5 resets some when the machine is busy."""

    request_queue_size = 128


class CaptionServer:
    """Answers `chat/completions`; keeps what it was asked.

    Attributes:
        fails: How many of the next requests it answers with an error.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply, self.asked, self.fails = reply, [], 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                if outer.fails:
                    outer.fails -= 1
                    self.send_error(503, "loading")
                    return
                raw = json.dumps({"choices": [{"message": {"content": outer.said(body)}}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = Http(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def said(self, body: dict[str, Any]) -> str:
        [turn] = body["messages"]
        texts = [block["text"] for block in turn["content"] if block["type"] == "text"]
        urls = [b["image_url"]["url"] for b in turn["content"] if b["type"] == "image_url"]
        pictures = [Image.open(io.BytesIO(base64.b64decode(u.partition(",")[2]))) for u in urls]
        names = [name for text in texts for name in re.findall(r"<([^<>]+)>", text)]
        return self.reply(names, pictures)


@contextmanager
def serving(reply: Reply) -> Iterator[CaptionServer]:
    made = CaptionServer(reply)
    try:
        yield made
    finally:
        made.http.shutdown()
        made.http.server_close()


def everybody(names: list[str], pictures: list[Image.Image]) -> str:
    """Names all that were shown, whoever is there."""
    assert len(pictures) == len(names) + 1
    return " and ".join(f"<{name}>" for name in names) + " are here." if names else "Grass."


def nobody(names: list[str], pictures: list[Image.Image]) -> str:
    """Names nobody."""
    return "Some things on a table."

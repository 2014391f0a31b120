"""A small Hugging Face hub: one data set `some/set`, with a branch and its commits."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

NAME = "some/set"


class Hub:
    """Files by commit, and the commit of the branch `main`.

    Attributes:
        served: Paths whose content was sent.
    """

    def __init__(self, commits: dict[str, dict[str, bytes]], main: str) -> None:
        self.commits, self.main = commits, main
        self.served: list[str] = []

    def commit(self, revision: str) -> str:
        """The commit of a branch or of itself."""
        return self.main if revision == "main" else revision


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Serve a hub; yields its endpoint."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            return

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(wanted=json.loads(body)["paths"] if body[:1] == b"{" else [])

        def _answer(self, with_body: bool = True, wanted: list[str] | None = None) -> None:
            path = unquote(self.path.partition("?")[0])
            prefix, _, rest = path.partition(f"datasets/{NAME}")
            kind, _, tail = rest.lstrip("/").partition("/")
            revision, _, below = tail.partition("/")
            files = hub.commits.get(commit := hub.commit(revision or "main"))
            if files is None or not path.partition(f"datasets/{NAME}")[1]:
                return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            if prefix != "/api/":
                return self._file(files, below, commit, with_body)
            entries = [_entry(name, data) for name, data in files.items()]
            folders = {name.rpartition("/")[0] for name in files} - {""}
            entries += [{"type": "directory", "path": f, "oid": "0"} for f in sorted(folders)]
            if kind == "tree":
                deep = "recursive=true" in self.path.lower()
                answer: Any = [
                    e
                    for e in entries
                    if e["path"].startswith(f"{below}/" if below else "")
                    and (deep or "/" not in e["path"].removeprefix(below).lstrip("/"))
                ]
                if not answer:
                    return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            elif kind == "paths-info":
                answer = [e for e in entries if e["path"] in (wanted or ())]
            else:
                siblings = [{"rfilename": name} for name in files]
                answer = {"id": NAME, "sha": commit, "siblings": siblings, "private": False}
            return self._send(200, json.dumps(answer).encode())

        def _file(self, files: dict[str, bytes], name: str, commit: str, body: bool) -> None:
            data = files.get(name)
            if data is None:
                return self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
            headers = {"X-Repo-Commit": commit, "ETag": f'"{_oid(data)}"'}
            status = 200
            if body:
                hub.served.append(name)
                if wanted := self.headers.get("Range"):
                    first, _, last = wanted.removeprefix("bytes=").partition("-")
                    end = min(int(last or len(data) - 1), len(data) - 1)
                    headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
                    data, status = data[int(first) : end + 1], 206
            return self._send(status, data, headers, body)

        def _send(
            self, status: int, data: bytes, headers: dict[str, str] | None = None, body: bool = True
        ) -> None:
            self.send_response(status)
            for key, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def _entry(name: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}

"""A local S3 server (moto), and servers with habits that others have."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Habit = Callable[[App], App]
"""Changes requests to a server or its answers."""


@dataclass(frozen=True)
class S3Server:
    """A server with one bucket of its own; all servers of a process share their content."""

    url: str
    bucket: str

    @property
    def options(self) -> dict[str, str]:
        """Storage options of fsspec."""
        return {"key": "k", "secret": "s", "endpoint_url": self.url}

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs in its environment."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        return kept | self.variables

    @property
    def variables(self) -> dict[str, str]:
        """Those of AWS in it."""
        named = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
        return named | {"AWS_ENDPOINT_URL": self.url, "AWS_EC2_METADATA_DISABLED": "true"}

    def files(self) -> Any:
        """A file system on it."""
        import s3fs

        return s3fs.S3FileSystem(**self.options)

    def upload(self, photos: Path) -> None:
        """Put a folder of photos into the bucket."""
        self.files().put(str(photos), f"{self.bucket}/photos", recursive=True)

    def store(self, name: str = "a store") -> str:
        """The location of a store."""
        return f"s3://{self.bucket}/{name}"


@contextmanager
def serving(habit: Habit | None = None, bucket: str = "") -> Iterator[S3Server]:
    """Serve S3 on a free port.

    Args:
        bucket: One of another server of this process; by default a new one, removed at the end.
    """
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log_request(self, *_: object) -> None:
            pass

    app = DomainDispatcherApplication(create_backend_app)
    server = make_server(
        "127.0.0.1", 0, habit(app) if habit else app, threaded=True, request_handler=Silent
    )
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    started = S3Server(f"http://127.0.0.1:{server.server_port}", bucket or uuid.uuid4().hex)
    try:
        files = started.files()
        if not bucket:
            files.mkdir(started.bucket)
        yield started
        if not bucket and files.exists(started.bucket):
            files.rm(started.bucket, recursive=True)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ignoring_conditions(app: App) -> App:
    """As servers before 2024: a conditional put overwrites."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return app(environ, start)

    return answer


def refusing_conditions(app: App) -> App:
    """As servers that know the header and have not implemented it."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_IF_NONE_MATCH" not in environ:
            return app(environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return _error(start, "501 Not Implemented", "NotImplemented")

    return answer


class Terse:
    """Says of a failed condition only that it failed, and first of each that it is in conflict."""

    def __init__(self) -> None:
        self.conflicts: set[str] = set()

    def __call__(self, app: App) -> App:
        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            path = environ["PATH_INFO"]
            if "HTTP_IF_NONE_MATCH" in environ and path not in self.conflicts:
                self.conflicts.add(path)
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                return _error(start, "409 Conflict", "ConditionalRequestConflict")
            said: list[Any] = []
            body = list(app(environ, lambda *answer: said.extend(answer)))
            if said[0].startswith("412"):
                return _error(start, said[0], "PreconditionFailed")
            start(*said)
            return body

        return answer


def _error(start: Callable[..., Any], status: str, code: str) -> list[bytes]:
    body = f"<Error><Code>{code}</Code><Message>{status}</Message></Error>".encode()
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]

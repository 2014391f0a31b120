"""A server that refuses, fails or disappears is one sentence and exit code 2."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.local.access import HOST, api_url
from flows.local.problems import explained, shorten_logs
from flows.run import run_deployment
from repic.errors import PrefectServerError, SourceError
from storage.errors import UnreachableError

GONE = 0
"""Instead of a status: the connection is closed."""


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A healthy server that answers everything else with one status; its API URL."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api/csrf-token"):
                self.send_error(404)
            elif self.path == "/api/health":
                self.send_response(200)
                self.end_headers()
            elif status:
                self.send_error(status)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Answers) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        url = api_url(web.server_address[1])
        with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}):
            yield url
        web.shutdown()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "refused the credentials: use the profile"),
        (409, "answered 409 Conflict to GET /api/deployments/name/a/a: another process"),
        (500, "answered 500 Internal Server Error to GET /api/deployments/name/a/a: look into"),
        (503, "answered 503 Service Unavailable"),
        (GONE, "does not answer any more: start it again"),
    ],
)
def test_one_sentence(status: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(status) as url:
        assert run_deployment("a", []) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"repic: The Prefect server at {url} ")
    assert says in printed
    assert printed.count("\n") == 1


def ask(url: str) -> None:
    """Fail as Prefect's engine does: with its own error, caused by that of the request."""
    try:
        httpx.get(f"{url}/flows").raise_for_status()
    except httpx.HTTPError as error:
        raise RuntimeError("the run failed") from error


def test_a_cause_is_found_behind_other_errors() -> None:
    with answering(500) as url, pytest.raises(PrefectServerError, match="500"), explained(url):
        ask(url)


def test_errors_of_other_servers_and_of_the_domain_stay() -> None:
    with answering(500) as url:
        with pytest.raises(RuntimeError), explained(api_url(1)):
            ask(url)
        with pytest.raises(SourceError, match="no such folder"), explained(url):
            raise_after_a_reply(url)


def raise_after_a_reply(url: str) -> None:
    try:
        ask(url)
    except RuntimeError as error:
        raise SourceError("no such folder") from error


def test_the_console_has_an_error_once_that_the_command_prints() -> None:
    console, kept = StringIO(), StringIO()

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.write(self.format(record) + "\n")

    logger = logging.getLogger("prefect.flow_runs")
    handlers = [logging.StreamHandler(console), Kept()]
    for handler in handlers:
        logger.addHandler(handler)
    try:
        shorten_logs("http://nowhere.invalid/api")
        for error in (SourceError("no such folder"), UnreachableError("S3 is away"), KeyError("k")):
            try:
                raise error
            except Exception:
                logger.exception("Task run failed")
        logger.error("Finished in state Failed('SourceError: no such folder')")
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
    assert "no such folder" not in console.getvalue()
    assert "S3 is away" in console.getvalue(), "it is tried again, and may end well"
    assert "KeyError" in console.getvalue()
    assert kept.getvalue().count("no such folder") == 2, "the server has it all"


def test_prefect_logs_a_request_that_failed_without_a_traceback() -> None:
    logger, lines = logging.getLogger("prefect.flow_runs"), StringIO()
    handler = logging.StreamHandler(lines)
    logger.addHandler(handler)
    try:
        with answering(500) as url:
            shorten_logs(url)
            for asked in (url, "http://127.0.0.1:1"):
                try:
                    ask(asked)
                except Exception:
                    logger.exception("It failed")
    finally:
        logger.removeHandler(handler)
    first, _, rest = lines.getvalue().partition("\n")
    assert first.startswith(f"The Prefect server at {url} answered 500")
    assert rest.startswith("It failed\nTraceback"), "any other error keeps its traceback"

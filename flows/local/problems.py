"""What goes wrong between a client and a Prefect server, as one sentence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from repic.errors import FIXABLE, CaptionServerError, PrefectServerError, RepicError
from storage.errors import UnreachableError

if TYPE_CHECKING:
    import httpx

RESTARTING = (CaptionServerError, UnreachableError)
"""Errors of a server that may be restarting: flows try again."""


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn an error of a request to the server at `url` into one that names the remedy.

    Raises:
        PrefectServerError: the server refused or failed a request, or does not answer.
    """
    try:
        yield
    except Exception as error:
        if sentence := _sentence(url, error):
            raise PrefectServerError(sentence) from error
        raise


def shorten_logs(url: str) -> None:
    """Let Prefect log one line, without a traceback, for a request that the server failed.

    And nothing on the console for an error that the command prints itself when it ends.
    """
    shorter, told = _Shorter(url), _ToldAtTheEnd()
    loggers = [logging.root, *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        handler.addFilter(shorter)
        if isinstance(handler, logging.StreamHandler):
            handler.addFilter(told)


class _ToldAtTheEnd(logging.Filter):
    """Leaves out what Prefect says of an error that the user can fix: of the task and the flow.

    Not of one after which a task is tried again: the command may never print it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, FIXABLE) and not isinstance(error, RESTARTING):
            self._told.add(str(error))
            return False
        message = record.getMessage()
        return not any(sentence and sentence in message for sentence in self._told)


class _Shorter(logging.Filter):
    """Shortens records about the server; that events cannot be sent is said once."""

    ONCE = "prefect.events.clients"
    PER_EVENT = ("EventsWorker", "prefect._internal.concurrency")

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._said = False

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if sentence := _sentence(self._url, error):
            record.msg, record.args, record.exc_info = sentence, (), None
        if record.name != self.ONCE:
            return record.name not in self.PER_EVENT
        said, self._said = self._said, True
        return not said


def _sentence(url: str, error: BaseException | None) -> str | None:
    """The first error in the chain that concerns a request to this server; None if there is none.

    An error of the domain stays what it is, whatever caused it.
    """
    import httpx

    while error is not None and not isinstance(error, RepicError):
        if isinstance(error, httpx.HTTPStatusError) and _is_of(error, url):
            return _refusal(url, error.response)
        if isinstance(error, httpx.TransportError) and _is_of(error, url):
            return (
                f"The Prefect server at {url} does not answer any more: start it again with "
                "`repic up`, and repeat the command. Finished work is kept."
            )
        error = error.__cause__
    return None


def _is_of(error: httpx.HTTPStatusError | httpx.TransportError, url: str) -> bool:
    try:
        return str(error.request.url).startswith(url)
    except RuntimeError:  # it has no request
        return False


def _refusal(url: str, response: httpx.Response) -> str:
    if response.status_code == 401:
        return (
            f"The Prefect server at {url} refused the credentials: use the profile that `repic up` "
            "made (`prefect profile use repic`), or set PREFECT_API_AUTH_STRING."
        )
    remedies = {409: "another process changed the same thing, so repeat the command"}
    remedy = remedies.get(response.status_code, "look into the log of the server")
    asked = f"{response.request.method} {response.request.url.path}"
    answer = f"{response.status_code} {response.reason_phrase}"
    return f"The Prefect server at {url} answered {answer} to {asked}: {remedy}."

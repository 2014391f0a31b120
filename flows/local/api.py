"""The configured server: whether it answers, a client of it, and its recent flow runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.local.home import empty_folder
from repic.errors import PrefectServerError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

TIMEOUT = 2.0
"""Seconds for each of connecting, sending and receiving."""


@dataclass(frozen=True)
class FlowRun:
    """A run of a flow.

    Attributes:
        started: ISO 8601; None if it has not started.
        message: Message of its state, for example why it failed.
    """

    id: str
    name: str
    state: str
    started: str | None
    message: str | None


def configured_server() -> tuple[str, bool] | None:
    """API URL of the configured server, and whether it answers; None if none is configured."""
    from flows.local import server

    url = _configured_url()
    return (url, server.is_healthy(url)) if url else None


@contextmanager
def connected() -> Iterator[SyncPrefectClient]:
    """A client of the configured server.

    Raises:
        PrefectServerError: no server answers, or it refuses.
    """
    answers = configured_server()
    if answers is None or not answers[1]:
        where = f" at {answers[0]}" if answers else ""
        raise PrefectServerError(f"no Prefect server answers{where}: start one with `repic up`")
    from prefect.client.orchestration import get_client

    from flows.local.problems import explained

    with explained(answers[0]), get_client(sync_client=True) as client:
        yield client


def recent_flow_runs(limit: int = 10) -> list[FlowRun] | None:
    """The newest runs first; None if no server is configured or it does not answer."""
    import httpx

    if not _configured_url():
        return None
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    query = {"sort": "EXPECTED_START_TIME_DESC", "limit": limit}
    states = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
    once = {PREFECT_CLIENT_MAX_RETRIES: 0}
    patience = {"timeout": TIMEOUT}
    try:
        with ExitStack() as stack:
            with empty_folder():
                stack.enter_context(temporary_settings(once))
            client = stack.enter_context(get_client(sync_client=True, httpx_settings=patience))
            answer = client.request(
                "POST", "/flow_runs/filter", json={**query, "flow_runs": states}
            )
        return [_flow_run(run) for run in answer.json()]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _configured_url() -> str | None:
    """API URL of the environment or the active profile."""
    from flows.local import server

    return server.load_settings().api.url


def _flow_run(run: dict[str, Any]) -> FlowRun:
    message = (run["state"] or {}).get("message")
    return FlowRun(run["id"], run["name"], run["state_name"] or "", run["start_time"], message)

"""The server that is set, and its last flow runs; asked without waiting long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TIMEOUT = 2.0
"""Seconds for each of connecting, sending and receiving; a status may not hang."""


@dataclass(frozen=True)
class FlowRun:
    """A run of any flow.

    Attributes:
        started: ISO 8601; None if it did not start yet.
        message: Of its state: why it failed, for example.
    """

    id: str
    name: str
    state: str
    started: str | None
    message: str | None


def configured_server() -> tuple[str, bool] | None:
    """API URL of the server that is set, and whether it answers; None if none is set."""
    from flows.local import server

    url = _configured_url()
    return (url, server.is_healthy(url)) if url else None


def recent_flow_runs(limit: int = 10) -> list[FlowRun] | None:
    """The last runs, the newest first; None if no server is set, or it does not answer."""
    import httpx

    url = _configured_url()
    if not url:
        return None
    wanted = {"sort": "EXPECTED_START_TIME_DESC", "limit": limit}
    states = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
    try:
        answer = httpx.post(
            f"{url}/flow_runs/filter", json={**wanted, "flow_runs": states}, timeout=TIMEOUT
        )
        answer.raise_for_status()
        return [_flow_run(run) for run in answer.json()]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _configured_url() -> str | None:
    """What the environment or the active profile says."""
    from flows.local import server

    server.set_quiet_defaults()
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def _flow_run(run: dict[str, Any]) -> FlowRun:
    message = (run["state"] or {}).get("message")
    return FlowRun(run["id"], run["name"], run["state_name"] or "", run["start_time"], message)

"""One run of a flow: `repic build --prefect`, `repic train --prefect` and `repic run`."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from flows.local import server
from flows.local.processes import interruptible

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

    from repic.pipeline.build import BuildResult
    from repic.training.publish import TrainingResult

NOT_COMPLETED = 1
NOT_STARTED = 2

POLL = 0.5
"""Seconds between polls of a run."""


def build(store: str, **parameters: Any) -> BuildResult:
    """Run the flow `build-datasets` in this process, on the configured server or a temporary one.

    Args:
        parameters: Parameters of the flow.

    Raises:
        PrefectServerError: PREFECT_API_URL or the active profile names a server that does not
            answer.
    """
    folder = server.prefect_home(store)
    server.use_home(folder)
    with interruptible(), server.ensure_server(folder):
        from flows.build_datasets import build_datasets

        return build_datasets(store=store, **parameters)


def train(store: str, **parameters: Any) -> TrainingResult | None:
    """Run the flow `train-grpo` in this process; otherwise like `build`."""
    folder = server.prefect_home(store)
    server.use_home(folder)
    with interruptible(), server.ensure_server(folder):
        from flows.train_grpo import train_grpo

        return train_grpo(store=store, **parameters)


def run_deployment(name: str, params: list[str], watch: bool = False) -> int:
    """Create a run of a deployment on the running server.

    Args:
        name: DEPLOYMENT, short for DEPLOYMENT/DEPLOYMENT, or FLOW/DEPLOYMENT.
        params: Flow parameters as `key=value`; a value that is not JSON is text.
        watch: Wait until the run ends, and print its states.

    Returns:
        Exit code: 0; 1 if the watched run did not complete; 2 if no run could be created.
    """
    server.set_quiet_defaults()
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url or not server.is_healthy(url):
        where = f" at {url}" if url else ""
        return _fail(f"no Prefect server answers{where}: start one with `repic up`")
    with SyncPrefectClient(url) as client:
        try:
            deployment = client.read_deployment_by_name(name if "/" in name else f"{name}/{name}")
            run = client.create_flow_run_from_deployment(deployment.id, parameters=_values(params))
        except ObjectNotFound:
            names = ", ".join(sorted(d.name for d in client.read_deployments())) or "none"
            return _fail(f"no deployment {name} on {url}; choose one of: {names}")
        except (PrefectHTTPStatusError, ValueError) as error:
            return _fail(str(error))
        print(f"Run {run.name}: {url.removesuffix('/api')}/runs/flow-run/{run.id}", flush=True)
        return _watch(client, run.id) if watch else 0


def _values(params: list[str]) -> dict[str, Any]:
    values = {}
    for param in params:
        key, equals, text = param.partition("=")
        if not equals:
            raise ValueError(f"--param needs key=value, got {param!r}")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def _watch(client: SyncPrefectClient, run_id: UUID) -> int:
    """Print each new state until the run ends; the exit code."""
    printed = None
    while True:
        state = client.read_flow_run(run_id).state
        if state and state.name != printed:
            printed = state.name
            print(f"{printed}{f': {state.message}' if state.message else ''}", flush=True)
        if state and state.is_final():
            return 0 if state.is_completed() else NOT_COMPLETED
        time.sleep(POLL)


def _fail(message: str) -> int:
    print(f"repic: {message}", file=sys.stderr)
    return NOT_STARTED

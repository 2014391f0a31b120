"""One run of a flow: `repic build --prefect`, `repic train --prefect` and `repic run`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from flows import parameters
from flows.local import home, runs, server
from flows.local.problems import explained, shorten_logs
from flows.local.processes import interruptible
from flows.runners import HERE, Choice
from repic.errors import PrefectServerError

if TYPE_CHECKING:
    from uuid import UUID

    from prefect import Flow
    from prefect.client.orchestration import SyncPrefectClient

    from repic.pipeline.build import BuildResult
    from repic.training.publish import TrainingResult

NOT_COMPLETED = 1
NOT_STARTED = 2

POLL = 0.5
"""Seconds between polls of a run."""


def build(store: str, choice: Choice = HERE, **parameters: Any) -> BuildResult:
    """Run the flow `build-datasets` in this process, on the configured server or a temporary one.

    Args:
        choice: Where its shards are computed.
        parameters: Other parameters of the flow.

    Raises:
        ConfigError: options of its runner that exclude each other, or an extra is missing.
        PrefectServerError: PREFECT_API_URL or the active profile names a server that does not
            answer.
    """
    choice.check()
    with _running(store, "build_datasets") as build_datasets:
        return build_datasets(store=store, **asdict(choice), **parameters)


def train(store: str, **parameters: Any) -> TrainingResult | None:
    """Run the flow `train-grpo` in this process; otherwise like `build`."""
    with _running(store, "train_grpo") as train_grpo:
        return train_grpo(store=store, **parameters)


@contextmanager
def _running(store: str, name: str) -> Iterator[Flow[..., Any]]:
    """A flow, ready to be called; `name` is that of its module and of its function."""
    folder = home.prepare(store)
    server.use_home(folder)
    with interruptible(), server.ensure_server(folder) as url, explained(url):
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            runs.crash_ended(client, folder)
        flow = getattr(import_module(f"flows.{name}"), name)
        shorten_logs(url)
        with runs.of_this_process(folder, flow) as held:
            try:
                yield held
            finally:
                server.flush_logs_and_events(url)


def run_deployment(name: str, params: list[str], watch: bool = False) -> int:
    """Create a run of a deployment on the running server.

    Args:
        name: DEPLOYMENT, short for DEPLOYMENT/DEPLOYMENT, or FLOW/DEPLOYMENT.
        params: Flow parameters as `key=value`; see `flows.parameters`.
        watch: Wait until the run ends, and print its states.

    Returns:
        Exit code: 0; 1 if the watched run did not complete; 2 if no run could be created.
    """
    url = server.load_settings().api.url
    if not url or not server.is_healthy(url):
        where = f" at {url}" if url else ""
        return _fail(f"no Prefect server answers{where}: start one with `repic up`")
    try:
        with explained(url):
            return _run_deployment(url, name if "/" in name else f"{name}/{name}", params, watch)
    except (PrefectServerError, ValueError) as error:
        return _fail(str(error))


def _run_deployment(url: str, name: str, params: list[str], watch: bool) -> int:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(name)
        except ObjectNotFound:
            names = ", ".join(sorted(d.name for d in client.read_deployments())) or "none"
            return _fail(f"no deployment {name} on {url}; choose one of: {names}")
        values = parameters.read(params, deployment.parameter_openapi_schema or {})
        run = client.create_flow_run_from_deployment(deployment.id, parameters=values)
        print(f"Run {run.name}: {url.removesuffix('/api')}/runs/flow-run/{run.id}", flush=True)
        return _watch(client, run.id) if watch else 0


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

"""`repic build --prefect`, `repic train --prefect`, `repic run`: one run of a flow."""

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

    from repic.pipeline.build import Outcome
    from repic.train.publish import TrainingResult

UNFINISHED = 1
CANNOT = 2


def build(store: str, **parameters: Any) -> Outcome:
    """Run the flow `build-datasets` in this process, on the server that is set or a temporary one.

    Args:
        parameters: Of the flow.

    Raises:
        ServerError: PREFECT_API_URL, or the active profile, names a server that does not answer.
    """
    folder = server.prefect_home(store)
    server.use_home(folder)
    with interruptible(), server.ensure_server(folder):
        from flows.build_datasets import build_datasets

        return build_datasets(store=store, **parameters)


def train(store: str, **parameters: Any) -> TrainingResult | None:
    """Run the flow `train-grpo` in this process; as `build`."""
    folder = server.prefect_home(store)
    server.use_home(folder)
    with interruptible(), server.ensure_server(folder):
        from flows.train_grpo import train_grpo

        return train_grpo(store=store, **parameters)


def run_deployment(name: str, params: list[str], watch: bool = False) -> int:
    """Ask the running server for a run of a deployment.

    Args:
        name: Deployment, or FLOW/DEPLOYMENT; a bare one belongs to the flow of the same name.
        params: `key=value` each; the value is JSON, or else text.
        watch: Wait for the end of the run, and print its states.

    Returns:
        Exit code: 0, 1 if the run that was watched did not complete, 2 if nothing could be run.
    """
    server.set_quiet_defaults()
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url or not server.is_healthy(url):
        where = f" at {url}" if url else ""
        return _cannot(f"no Prefect server answers{where}: start one with `repic up`")
    with SyncPrefectClient(url) as client:
        try:
            deployment = client.read_deployment_by_name(name if "/" in name else f"{name}/{name}")
            run = client.create_flow_run_from_deployment(deployment.id, parameters=_values(params))
        except ObjectNotFound:
            known = ", ".join(sorted(d.name for d in client.read_deployments())) or "none"
            return _cannot(f"there is no deployment {name} on {url}; there is: {known}")
        except (PrefectHTTPStatusError, ValueError) as error:
            return _cannot(str(error))
        print(f"Run {run.name}: {url.removesuffix('/api')}/runs/flow-run/{run.id}", flush=True)
        return _watched(client, run.id) if watch else 0


def _values(params: list[str]) -> dict[str, Any]:
    values = {}
    for param in params:
        key, equals, text = param.partition("=")
        if not equals:
            raise ValueError(f"--param wants key=value, got {param!r}")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def _watched(client: SyncPrefectClient, run_id: UUID) -> int:
    shown = None
    while True:
        state = client.read_flow_run(run_id).state
        if state and state.name != shown:
            shown = state.name
            print(f"{shown}{f': {state.message}' if state.message else ''}", flush=True)
        if state and state.is_final():
            return 0 if state.is_completed() else UNFINISHED
        time.sleep(1)


def _cannot(why: str) -> int:
    print(f"repic: {why}", file=sys.stderr)
    return CANNOT

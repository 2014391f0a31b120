"""Events that flows report to Prefect's server, where automations react to them."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import runtime
from prefect.events import emit_event

from flows.automations import NOT_PROMOTED, PUBLISHED, REFUSED_FILES


def published(dataset: str, examples: str, store: str) -> None:
    """A build published a dataset version; not said of a build that is part of another flow."""
    if not runtime.flow_run.parent_flow_run_id:
        _emit(PUBLISHED, dataset, {"dataset": dataset, "examples": examples, "store": store})


def refused_files(why: str, store: str) -> None:
    """A build published nothing, because it refused more files than its budget allows."""
    _emit(REFUSED_FILES, "quarantine", {"why": why, "store": store})


def not_promoted(candidate: str, why: str, store: str) -> None:
    """A refresh left the checkpoint in production where it was."""
    _emit(NOT_PROMOTED, candidate, {"candidate": candidate, "why": why, "store": store})


def _emit(event: str, name: str, payload: Mapping[str, str]) -> None:
    resource = {"prefect.resource.id": f"repic.{name}", "prefect.resource.name": name}
    emit_event(event, resource, payload=dict(payload))

"""Prometheus counters of a worker, or of all workers that share a folder.

`PROMETHEUS_MULTIPROC_DIR` must be set before this module is imported; `repic.rewards.server.serve`
sets it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
KNOWN = ("/healthz", "/metrics", "/v1/score", "/get_reward")
"""Paths that are counted by name; all others are counted as `other`."""

_own = CollectorRegistry()
_requests = Counter("repic_reward_requests_total", "Requests", ["path", "status"], registry=_own)
_seconds = Histogram("repic_reward_request_seconds", "Seconds per request", ["path"], registry=_own)
_rows = Counter(
    "repic_reward_rows_total",
    "Answers by what became of them",
    ["objective", "outcome"],
    registry=_own,
)
_reward = Counter(
    "repic_reward_sum", "Sum of the rewards given: over scored answers, their mean", ["objective"],
    registry=_own,
)  # fmt: skip
Outcome = tuple[str, float | None]
"""Objective of an answer and its reward; None if it could not be scored."""


def count_request(path: str, status: int, seconds: float) -> None:
    """Count a request."""
    label = path if path in KNOWN else "other"
    _of(_requests, label, str(status)).inc()
    _of(_seconds, label).observe(seconds)


def count_answers(outcomes: Iterable[Outcome]) -> None:
    """Count the answers of a request, summed first: each increment writes to a shared file."""
    numbers: dict[tuple[str, str], int] = {}
    sums: dict[str, float] = {}
    for objective, reward in outcomes:
        key = objective, "unscored" if reward is None else "scored"
        numbers[key] = numbers.get(key, 0) + 1
        sums[objective] = sums.get(objective, 0.0) + (reward or 0.0)
    for (objective, outcome), number in numbers.items():
        _of(_rows, objective, outcome).inc(number)
    for objective, total in sums.items():
        _of(_reward, objective).inc(total)


@cache
def _of(metric: Any, *labels: str) -> Any:
    """The metric with these labels; cached, since `labels` takes a lock."""
    return metric.labels(*labels)


def exposed() -> bytes:
    """All counters as text."""
    if FOLDER not in os.environ:
        return generate_latest(_own)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)

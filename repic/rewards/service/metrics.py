"""Counters of a worker, for Prometheus; those of all workers where they share a folder.

`PROMETHEUS_MULTIPROC_DIR` must be set before this module is imported, which
`repic.rewards.service.serve` sees to.
"""

from __future__ import annotations

import os

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
"""Paths that are counted by name; any other is counted as one."""

_own = CollectorRegistry()
_requests = Counter("repic_reward_requests_total", "Requests", ["path", "status"], registry=_own)
_seconds = Histogram("repic_reward_request_seconds", "Seconds per request", ["path"], registry=_own)
_rows = Counter(
    "repic_reward_rows_total",
    "Answers by what became of them",
    ["objective", "outcome"],
    registry=_own,
)
_reward = Histogram(
    "repic_reward", "Rewards given", ["objective"],
    buckets=(0, 0.1, 0.25, 0.5, 0.75, 0.9, 1), registry=_own,
)  # fmt: skip


def request(path: str, status: int, seconds: float) -> None:
    """Count a request."""
    named = path if path in KNOWN else "other"
    _requests.labels(named, str(status)).inc()
    _seconds.labels(named).observe(seconds)


def row(objective: str, reward: float | None) -> None:
    """Count an answer; None: it could not be scored."""
    _rows.labels(objective, "unscored" if reward is None else "scored").inc()
    if reward is not None:
        _reward.labels(objective).observe(reward)


def exposed() -> bytes:
    """All counters as text."""
    if FOLDER not in os.environ:
        return generate_latest(_own)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)

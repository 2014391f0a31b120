"""Turns on the GPU: one model at a time per process and, if asked, per host.

Within a process a lock is enough. REPIC_GPU_SLOTS=N also lets all workers of a host share N slots:
a global concurrency limit of Prefect, `repic-gpu-HOST`. A slot is leased: a thread of its holder
renews the lease, and the server takes the slot back when a lease expires, so the slot of a process
that was killed returns within LEASE seconds plus one round of the server's repossessor (15 s).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from threading import Lock

from repic.errors import ConfigError

LEASE = 60.0
"""Seconds; the shortest lease that Prefect's server accepts."""

_lock = Lock()


@contextmanager
def turn() -> Iterator[None]:
    """Hold the GPU; waits until it is free.

    Raises:
        ConfigError: REPIC_GPU_SLOTS is not a whole number above 0.
    """
    with _lock:
        if not (slots := os.environ.get("REPIC_GPU_SLOTS")):
            yield
            return
        from prefect.concurrency.sync import concurrency

        limit = _host_limit(slots)
        # Losing the lease, for example while the server restarts, does not make a result wrong.
        with concurrency(
            limit, lease_duration=LEASE, strict=True, raise_on_lease_renewal_failure=False
        ):
            yield


@cache
def _host_limit(slots: str) -> str:
    """Name of the limit of this host, created or set to `slots`."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectAlreadyExists

    if not slots.isdecimal() or not int(slots):
        raise ConfigError(f"REPIC_GPU_SLOTS is {slots!r}: set it to a whole number above 0")
    name = f"repic-gpu-{socket.gethostname()}"
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(name, int(slots))  # another worker won
    return name

"""What a worker of a cluster needs, looked at on each of them before the first shard."""

from __future__ import annotations

import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

from repic import config
from repic.errors import ClusterError

if TYPE_CHECKING:
    from flows.runners import Cluster


def check(cluster: Cluster, store: str) -> None:
    """Check that every worker of a cluster has what a shard needs.

    Raises:
        ClusterError: one lacks something; the message says which, and the remedy.
    """
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    for answer in cluster.look(partial(missing, store, url, _versions())):
        if isinstance(answer, ImportError):
            raise ClusterError(
                f"A worker cannot import repic ({answer}): install the same version of repic "
                "there, with the extra of the runner."
            ) from answer
        if isinstance(answer, BaseException):
            raise answer
        if answer:
            raise ClusterError(answer)


def missing(store: str, url: str | None, versions: str) -> str | None:
    """On a worker: what it lacks, as a sentence; None if it can compute shards.

    Args:
        store: Location of the store.
        url: API URL of the Prefect server, to which tasks report.
        versions: What `_versions` gives where the flow runs.
    """
    from flows.local.server import is_healthy
    from storage.errors import StoreError
    from storage.store import Store

    host = socket.gethostname()
    if versions != _versions():
        return f"The worker on {host} has {_versions()}, and this machine {versions}: install one."
    try:
        Store.open(store)
    except (StoreError, OSError) as error:
        return (
            f"The worker on {host} does not see the store {store} ({error}): mount the same folder "
            "at the same path there, or keep the store on S3."
        )
    if url and not is_healthy(url):
        return (
            f"The worker on {host} does not reach the Prefect server at {url}: run the server "
            "where all workers reach it, and set PREFECT_API_URL to it."
        )
    return None


def _versions() -> str:
    """Versions that flow and workers must share: results are kept by code of one version."""
    return f"repic {config.version()} on Python {sys.version_info.major}.{sys.version_info.minor}"

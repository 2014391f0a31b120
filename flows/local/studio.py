"""The studio as one of the processes of `repic up`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.local.processes import ChildProcess


@dataclass(frozen=True)
class StudioOptions:
    """How `repic up` starts the studio.

    Attributes:
        allow_review: Whether people may decide on pairs.
    """

    port: int = 8900
    allow_review: bool = False

    @property
    def url(self) -> str:
        """Its address on this machine."""
        return f"http://127.0.0.1:{self.port}"


def start(options: StudioOptions, env: Mapping[str, str], folder: Path) -> ChildProcess:
    """Start the studio of the store in REPIC_STORE, which is created if it does not exist.

    It does not get the password of Prefect's server.
    """
    from repic.pipeline.catalog import open_store

    store = env["REPIC_STORE"]
    open_store(store, create=True)
    command = [sys.executable, "-m", "repic.cli", "studio"]
    command += ["--store", store, "--port", str(options.port)]
    command += ["--allow-review"] if options.allow_review else []
    own = {key: value for key, value in env.items() if not key.startswith("PREFECT_")}
    return ChildProcess("studio", command, own, folder / "studio.log")


def is_healthy(options: StudioOptions) -> bool:
    """Whether it answers."""
    import httpx

    try:
        return httpx.get(f"{options.url}/healthz", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False

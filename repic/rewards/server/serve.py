"""Reward workers: processes that share a socket; one that dies or hangs is replaced.

The parent is uvicorn's own supervisor. What the workers need to know comes by environment, since
each of them is a new interpreter.
"""

from __future__ import annotations

import gc
import ipaddress
import json
import logging
import os
import socket
import tempfile
from dataclasses import asdict

from fastapi import FastAPI

from repic.errors import ConfigError
from repic.rewards.server import model_components
from repic.rewards.server.app import Limits, create_app
from repic.rewards.server.prometheus import FOLDER
from repic.rewards.server.protocol import TOKEN

LIMITS = "REPIC_REWARD_LIMITS"
COMPONENTS = "REPIC_REWARD_COMPONENTS"
HEALTH_CHECK = 10
"""Seconds that a worker may be silent before it counts as hung."""
GRACE = 10
"""Seconds that requests at work have to end when the service stops."""

log = logging.getLogger(__name__)


def app() -> FastAPI:
    """The application of one worker, as its environment says."""
    limits = Limits(**json.loads(os.environ.get(LIMITS, "{}")))
    found = model_components.load_components(os.environ.get(COMPONENTS, ""))
    made = create_app(os.environ.get(TOKEN) or None, limits, found)
    gc.collect()
    gc.freeze()  # what was imported is not looked through again and again
    return made


def check(host: str, token: str | None) -> None:
    """Raises: ConfigError: without a token only this machine may ask."""
    if not token and not is_loopback(host):
        raise ConfigError(
            f"{host} is open to other machines, and no token is set: set {TOKEN} to a secret that "
            "trainers know, or bind to 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def serve(host: str, port: int, workers: int, limits: Limits, components: str = "") -> None:
    """Serve until a signal says stop.

    Args:
        components: As `repic.rewards.server.model_components.packed_settings` makes it.

    Raises:
        ConfigError: no token for an open address, or the address cannot be bound.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    check(host, os.environ.get(TOKEN))
    os.environ[LIMITS] = json.dumps(asdict(limits))
    os.environ[COMPONENTS] = components
    with tempfile.TemporaryDirectory(prefix="repic-rewards-") as folder:
        os.environ[FOLDER] = folder
        config = uvicorn.Config(
            "repic.rewards.server.serve:app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_level="warning",
            access_log=False,
            timeout_worker_healthcheck=HEALTH_CHECK,
            timeout_graceful_shutdown=GRACE,
        )
        Multiprocess(config, sockets=[_bound(host, port)]).run()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, asyncio sends small packets at once; else each reply waits 40 ms for the last ACK.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        made.close()
        raise ConfigError(
            f"{host}:{port} cannot be used ({error}): choose another --port"
        ) from None
    made.set_inheritable(True)
    return made

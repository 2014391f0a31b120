"""Reward workers: processes that share a socket; one that dies or hangs is replaced.

The parent is uvicorn's supervisor. Each worker is a new interpreter, so it reads its settings from
the environment.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict

from fastapi import FastAPI

from repic.rewards.server import model_components
from repic.rewards.server.app import Limits, create_app
from repic.rewards.server.metrics_folder import hold, metrics_folder
from repic.rewards.server.prometheus import FOLDER
from repic.rewards.server.protocol import TOKEN
from repic.rewards.wrappers import Wrapper, wrappers_of
from repic.web.connections import HEAD_SECONDS, BoundedConnection
from repic.web.listening import accepted_hosts
from repic.web.logs import bound_logs
from repic.web.orphans import end_with_parent

LIMITS = "REPIC_REWARD_LIMITS"
COMPONENTS = "REPIC_REWARD_COMPONENTS"
HOSTS = "REPIC_REWARD_HOSTS"
STRIP = "REPIC_REWARD_STRIP"
HEALTH_CHECK = 10
"""Seconds without a response after which a worker is replaced."""

GRACE = 10
"""Seconds that running requests have to finish when the service stops."""

log = logging.getLogger(__name__)


def app() -> FastAPI:
    """The application of one worker, configured by its environment."""
    limits = Limits(**json.loads(os.environ.get(LIMITS, "{}")))
    components = model_components.load_components(os.environ.get(COMPONENTS, ""))
    hosts = json.loads(os.environ.get(HOSTS, "null"))
    strip = wrappers_of(os.environ.get(STRIP, ""))
    application = create_app(os.environ.get(TOKEN) or None, limits, components, hosts, strip)
    end_with_parent(GRACE)
    bound_logs()
    if FOLDER in os.environ:
        hold(os.environ[FOLDER])
    gc.collect()
    gc.freeze()  # keep the collector from scanning imported modules again
    return application


def serve(
    listening: socket.socket,
    host: str,
    workers: int,
    limits: Limits,
    components: str = "",
    further_hosts: Sequence[str] = (),
    strip: Sequence[Wrapper] = (),
) -> None:
    """Serve until a signal stops it.

    Args:
        listening: Result of `repic.web.listening.listen`.
        host: The address that it is bound to.
        components: Result of `repic.rewards.server.model_components.packed_settings`.
        further_hosts: Names besides the address under which clients call it, such as a proxy's.
        strip: Wrappers that are no part of an answer; see `repic.rewards.wrappers`.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    os.environ[LIMITS] = json.dumps(asdict(limits))
    os.environ[COMPONENTS] = components
    os.environ[STRIP] = ",".join(strip)
    os.environ[HOSTS] = json.dumps(accepted_hosts(host, further_hosts))
    with metrics_folder() as folder:
        os.environ[FOLDER] = folder
        config = uvicorn.Config(
            "repic.rewards.server.serve:app",
            factory=True,
            workers=workers,
            http=BoundedConnection,
            ws="none",
            log_level="error",  # a warning per malformed request would let clients fill the disk
            access_log=False,
            timeout_worker_healthcheck=HEALTH_CHECK,
            timeout_keep_alive=int(HEAD_SECONDS),
            timeout_graceful_shutdown=GRACE,
        )
        Multiprocess(config, sockets=[listening]).run()

"""Run the studio until a signal stops it."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from repic.studio.app import create_app
from repic.studio.site import Studio
from repic.web.connections import HEAD_SECONDS, BoundedConnection
from repic.web.listening import accepted_hosts
from repic.web.logs import bound_logs

TOKEN = "REPIC_STUDIO_TOKEN"
"""Environment variable with the token that browsers must give, as a password."""

GRACE = 5
"""Seconds that requests have to finish when the studio stops."""


def serve(
    listening: socket.socket,
    host: str,
    studio: Studio,
    token: str | None,
    further_hosts: Sequence[str] = (),
) -> None:
    """Serve until a signal stops it.

    Args:
        listening: Result of `repic.web.listening.listen`.
        host: The address that it is bound to.
        further_hosts: Names besides the address under which browsers call it, such as a proxy's.
    """
    import uvicorn

    app = create_app(studio, token or None, accepted_hosts(host, further_hosts))
    config = uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        log_level="error",
        access_log=False,
        timeout_keep_alive=int(HEAD_SECONDS),
        timeout_graceful_shutdown=GRACE,
    )
    bound_logs()
    uvicorn.Server(config).run(sockets=[listening])

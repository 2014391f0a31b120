"""The server process: `python -m flows.local.guarded_server SOCKET`.

Prefect checks the string of every request. `repic.web.guard` adds what it does not check: a request
that names another host (a web site whose name was pointed to this machine) or that comes from a
page of another origin is refused before Prefect sees it, websockets included.
"""

from __future__ import annotations

import socket
import sys

from flows.local.access import origins
from repic.web.guard import Guard, GuardRules


def main(descriptor: int) -> None:
    """Serve on an inherited socket until SIGTERM; PREFECT_ variables hold the settings."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    rules = GuardRules(origins=origins(settings.api.port))
    config = uvicorn.Config(
        Guard(create_app(final=True), rules),
        timeout_keep_alive=settings.api.keepalive_timeout,
        log_level=settings.logging_level.lower(),
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]))

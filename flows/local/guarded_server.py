"""The server process: `python -m flows.local.guarded_server SOCKET`.

Prefect checks the string of every request; this adds what it does not check. A request that names
another host (a web site whose name was pointed to this machine) or comes from a page of another
origin is refused before Prefect sees it, websockets included.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

from flows.local import access

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class OriginGuard:
    """ASGI middleware that answers 403 to requests of another host or origin.

    Args:
        hosts: Accepted values of the Host header, `name:port`; a page of `http://HOST` is one of
            ours.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = {host.encode() for host in hosts}
        self._origins = {f"http://{host}".encode() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan" or self._is_ours(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before accept: status 403
        else:
            headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"Only this machine is served.\n"})

    def _is_ours(self, scope: Scope) -> bool:
        values: dict[bytes, list[bytes]] = {b"host": [], b"origin": []}
        for name, value in scope["headers"]:
            if name in values:
                values[name].append(value.lower())
        return len(values[b"host"]) == 1 and (
            set(values[b"host"]) <= self._hosts and set(values[b"origin"]) <= self._origins
        )


def main(descriptor: int) -> None:
    """Serve on an inherited socket until SIGTERM; PREFECT_ variables hold the settings."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server
    app = OriginGuard(create_app(final=True), access.hosts(settings.api.port))
    config = uvicorn.Config(
        app,
        timeout_keep_alive=settings.api.keepalive_timeout,
        log_level=settings.logging_level.lower(),
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main(int(sys.argv[1]))

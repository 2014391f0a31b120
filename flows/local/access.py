"""Who may use a server of this machine: every request carries its random string.

A page of another web site, and another user of this machine, can reach a port of 127.0.0.1 but do
not know the string. Prefect checks it on every request of the API and every websocket; only
`/api/health`, `/api/ready` and the files of the UI are open.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from flows.local.home import empty_folder
from repic.errors import PrefectServerError

HOST = "127.0.0.1"
USER = "repic"


@dataclass(frozen=True)
class Access:
    """The address of a server, and what it asks of each request.

    Attributes:
        auth: `user:password`. It is passed in environments and in files that only their owner can
            read, never in arguments or logs.
    """

    port: int
    auth: str = field(default_factory=lambda: f"{USER}:{secrets.token_urlsafe(32)}", repr=False)

    @property
    def url(self) -> str:
        """URL of the API."""
        return api_url(self.port)

    @property
    def client(self) -> dict[str, str]:
        """Settings of Prefect for a process that uses the server."""
        return {"PREFECT_API_URL": self.url, "PREFECT_API_AUTH_STRING": self.auth}

    @property
    def server(self) -> dict[str, str]:
        """Settings of Prefect for the server itself."""
        return {
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_API_AUTH_STRING": self.auth,
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins(self.port)),
        }

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let the clients of this process use the server."""
        import prefect.settings
        from prefect.settings import temporary_settings

        changes = {getattr(prefect.settings, key): value for key, value in self.client.items()}
        with ExitStack() as stack:
            with empty_folder():
                stack.enter_context(temporary_settings(changes))
            yield


def api_url(port: int) -> str:
    """API URL of a server on this machine."""
    return f"http://{HOST}:{port}/api"


def listen(port: int) -> socket.socket:
    """A socket that listens on this port, so that no other program can take it.

    Raises:
        PrefectServerError: the port is taken.
    """
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise PrefectServerError(
            f"Port {port} cannot be used ({error.strerror}): stop the program that uses it, or "
            f"choose another port, such as {free_port()}, with `repic up --port`."
        ) from error
    return listening


def is_free(port: int) -> bool:
    """Whether a server can listen on this port."""
    try:
        listen(port).close()
    except PrefectServerError:
        return False
    return True


def free_port() -> int:
    """A port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def origins(port: int) -> tuple[str, str]:
    """Origins of the server's own pages."""
    return f"http://{HOST}:{port}", f"http://localhost:{port}"

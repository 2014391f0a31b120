"""Where a server listens, and the names under which it may be called."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Sequence

from repic.errors import ConfigError
from repic.web.guard import own_hosts


def listen(host: str, port: int, token: str) -> socket.socket:
    """A socket of a service.

    Args:
        token: Environment variable that has the token of the service, if there is one.

    Raises:
        ConfigError: the address is open to other machines and no token is set, or it cannot be
            bound.
    """
    if not os.environ.get(token) and not is_loopback(host):
        raise ConfigError(
            f"{host} is open to other machines, and no token is set: set {token} to a secret that "
            "its clients know, or bind to 127.0.0.1"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle only if the protocol is TCP; else each reply waits 40 ms for an ACK.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), port))
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"{address(host, port)} cannot be used ({error.strerror}): choose another "
            "--port or --host"
        ) from None
    bound.set_inheritable(True)
    return bound


def address(host: str, port: int) -> str:
    """URL of a service; brackets around an IPv6 address."""
    return f"http://[{host}]:{port}" if ":" in host and host[0] != "[" else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def accepted_hosts(host: str, further: Sequence[str]) -> list[str] | None:
    """Names that requests may give as Host; None: any.

    A service for this machine accepts its loopback names, so a web page cannot reach it under a
    name of its own. One for other machines has a token and accepts any name, unless names are set.
    """
    if is_loopback(host) or further:
        return sorted(own_hosts(host, *further))
    return None

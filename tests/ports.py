"""Ports for servers that a test starts in a process."""

from __future__ import annotations

import random
import socket

PORTS = range(20_000, 32_000)
"""Below those that Linux gives to connections, any of which could take one before the server."""


def free_port() -> int:
    """A port that is free, and that no other test is likely to choose before it is used."""
    draw = random.SystemRandom()
    while True:
        port = draw.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port

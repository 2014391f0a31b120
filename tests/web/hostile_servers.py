"""Servers on raw sockets that reply with given bytes, or in their own bad way."""

from __future__ import annotations

import contextlib
import datetime
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Act = Callable[[socket.socket], None]


class HostileServer:
    """Reads one request per connection and then acts.

    Attributes:
        requests: What clients sent, one entry per connection.
    """

    def __init__(self, act: Act, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._act, self._tls = act, tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(
                    target=self._serve, args=(self._listener.accept()[0],), daemon=True
                ).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            connection = self._tls.wrap_socket(client, server_side=True) if self._tls else client
            self.requests.append(read_request(connection))
            self._act(connection)


def _has_left(client: socket.socket) -> bool:
    """Whether the client has closed the connection; it sends nothing after its request."""
    return bool(select.select([client], [], [], 0)[0])


def read_request(connection: socket.socket) -> bytes:
    """Head and body of a request with Content-Length."""
    connection.settimeout(60)
    text = b""
    while b"\r\n\r\n" not in text and (part := connection.recv(65536)):
        text += part
    head, _, body = text.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    while len(body) < int(length or 0) and (part := connection.recv(65536)):
        body += part
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def hostile(act: Act | bytes, tls: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    """A server that acts so, or sends these bytes and closes."""
    server = HostileServer(act if callable(act) else lambda client: client.sendall(act), tls)
    try:
        yield server
    finally:
        server.close()


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A well-formed reply."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def forever(first: bytes, again: bytes, pause: float = 0.02) -> Act:
    """Sends the first bytes, and the others again and again until the client leaves."""

    def act(client: socket.socket) -> None:
        client.sendall(first)
        client.setblocking(True)
        while not _has_left(client):
            client.sendall(again)
            time.sleep(pause)

    return act


def self_signed(folder: Path) -> ssl.SSLContext:
    """TLS of a server whose certificate for localhost nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem")
    return context

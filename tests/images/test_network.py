"""Pictures from servers that nobody trusts."""

from __future__ import annotations

import io
import socket
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repic.images import fetch, network, patience, table_cells
from repic.images.decode import open_image
from repic.images.fetch import ImageRefused, read_bytes
from tests.images import hostile_servers as servers
from tests.odd_images import encode, picture

PNG = encode(picture(), "PNG")


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(network.PRIVATE_HOSTS, "images.example, 127.0.0.1")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(patience, "PAUSES", ())


def _refused(uri: str) -> ImageRefused:
    with pytest.raises(ImageRefused) as caught:
        read_bytes(uri)
    return caught.value


@pytest.mark.usefixtures("allowed")
def test_a_picture_is_downloaded_also_over_redirects_and_odd_names() -> None:
    paths = []

    def answer(connection: socket.socket, path: str) -> None:
        paths.append(path)
        act = servers.redirect("b%20c.png") if path.startswith("/a") else servers.reply(PNG)
        act(connection, path)

    with servers.serving(answer) as url:
        assert open_image(f"{url}/a é.png#xywh=0,0,10,10").size == (10, 10)
    assert paths == ["/a%20%C3%A9.png", "/b%20c.png"]


def test_addresses_of_this_machine_are_refused_by_any_name() -> None:
    with servers.serving(servers.reply(PNG)) as url:
        port = url.rpartition(":")[2]
        names = ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "0"]
        for name in [*names, "[::1]", "[::ffff:127.0.0.1]", "user:word@127.0.0.1"]:
            error = _refused(f"http://{name}:{port}/x.png")
            assert error.reason == "forbidden", (name, error.message)
        for name in ("0177.0.0.1", "127.000.000.001"):  # no valid form of an address
            assert _refused(f"http://{name}:{port}/x.png").reason == "unreadable"
    error = _refused("http://169.254.169.254/latest/meta-data/")
    assert error.reason == "forbidden"
    assert network.PRIVATE_HOSTS in error.message


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    "target",
    [
        "http://localhost:{port}/x.png",
        "http://169.254.169.254/latest",
        "file:///etc/hostname",
        "ftp://127.0.0.1/x.png",
        "gopher://127.0.0.1:{port}/",
    ],
)
def test_a_redirect_is_checked_like_the_first_address(target: str) -> None:
    def answer(connection: socket.socket, path: str) -> None:
        to = target.format(port=connection.getsockname()[1])
        servers.redirect(to)(connection, path)

    with servers.serving(answer) as url:
        assert _refused(f"{url}/x.png").reason == "forbidden"


@pytest.mark.usefixtures("allowed")
def test_redirects_end() -> None:
    with servers.serving(lambda c, path: servers.redirect(path + "x")(c, path)) as url:
        assert "redirects more than" in _refused(f"{url}/x.png").message


def test_a_name_that_changes_its_address_is_connected_to_the_checked_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rebinding: the first answer is public, every further one is this machine."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "rebind.example":
            return real(host, port, *args, **options)
        asked.append(host)
        address = "203.0.113.7" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected = []

    def create_connection(address: tuple[str, int], *args: Any, **options: Any) -> Any:
        connected.append(address[0])
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(patience, "PAUSES", ())
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    monkeypatch.setattr(network, "is_public", lambda address: address != "127.0.0.1")
    assert _refused("http://rebind.example/x.png").reason == "unavailable"
    assert _refused("http://rebind.example/x.png").reason == "forbidden"
    assert connected == ["203.0.113.7"]


@pytest.mark.usefixtures("allowed", "hasty")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (servers.drip, "unavailable"),
        (servers.drip_headers, "unavailable"),
        (servers.silent, "unavailable"),
        (servers.hang_up, "unreadable"),
        (servers.no_http, "unreadable"),
        (servers.reply(b"", status="500 Broken"), "unavailable"),
        (servers.reply(b"gone", status="404 Not Found"), "missing"),
        (servers.reply(b""), "empty"),
        (servers.reply(b"x", "Content-Length: many"), "unreadable"),
    ],
)
def test_a_bad_server_costs_one_photo_and_little_time(answer: servers.Answer, reason: str) -> None:
    """The servers that drip or say nothing would go on for ever."""
    with servers.serving(answer) as url:
        assert _refused(f"{url}/x.png").reason == reason


@pytest.mark.usefixtures("allowed")
def test_an_endless_or_announced_giant_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_BYTES", 5_000_000)
    with servers.serving(servers.endless) as url:
        assert _refused(f"{url}/x.png").reason == "too-large"
    with servers.serving(servers.reply(bytes(5_000_001))) as url:
        assert _refused(f"{url}/x.png").reason == "too-large"


@pytest.mark.usefixtures("allowed")
def test_a_compressed_reply_is_not_expanded() -> None:
    with servers.serving(servers.gzip_bomb) as url:
        assert len(read_bytes(f"{url}/x.png")) < 100_000


def test_the_server_of_the_source_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_trusted", set())
    with servers.serving(servers.reply(PNG)) as url:
        assert _refused(f"{url}/x.png").reason == "forbidden"
        network.trust(f"{url}/photos")
        assert read_bytes(f"{url}/x.png") == PNG
        with network.trusting_only("https://example.org/photos", None):
            assert _refused(f"{url}/x.png").reason == "forbidden"
        with network.trusting_only(f"{url}/photos"):
            assert read_bytes(f"{url}/x.png") == PNG


def test_no_other_source_uses_an_open_connection_to_a_trusted_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network, "_trusted", set())
    with servers.serving(servers.patient) as url:
        network.trust(url)
        assert read_bytes(f"{url}/x.png") == servers.BODY
        with network.trusting_only("https://example.org/photos"):
            assert _refused(f"{url}/x.png").reason == "forbidden"
        assert read_bytes(f"{url}/x.png") == servers.BODY


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_table_is_downloaded_like_a_picture(monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.delenv(network.PRIVATE_HOSTS, raising=False)
    table, file = pa.table({"image": [PNG, None, PNG]}), io.BytesIO()
    if suffix == "parquet":
        pq.write_table(table, file)
    else:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    paths = []

    def answer(connection: socket.socket, path: str) -> None:
        paths.append(path)
        act = servers.reply(file.getvalue())
        if path.startswith("/elsewhere"):
            act = servers.redirect("http://169.254.169.254/t.parquet")
        act(connection, path)

    cell = "#row={}&column=image"
    with servers.serving(answer) as url:
        refused = _refused(f"{url}/t.{suffix}{cell.format(0)}")
        assert (refused.reason, paths) == ("forbidden", [])
        monkeypatch.setenv(network.PRIVATE_HOSTS, "127.0.0.1")
        for row in (0, 2, 0):
            assert read_bytes(f"{url}/t.{suffix}{cell.format(row)}") == PNG
        assert _refused(f"{url}/t.{suffix}{cell.format(1)}").reason == "empty"
        assert len(paths) == 1, "it was downloaded once"
        assert _refused(f"{url}/elsewhere.{suffix}{cell.format(0)}").reason == "forbidden"
        monkeypatch.setattr(table_cells, "MAX_DOWNLOAD_BYTES", 10)
        assert _refused(f"{url}/large.{suffix}{cell.format(0)}").reason == "too-large"


@pytest.mark.parametrize("part", ["", "#row=0&column=image"])
def test_no_other_scheme_of_a_table_is_read(part: str) -> None:
    odd = ("ftp", "sftp", "ssh", "smb", "local", "HTTP", "FILE", "github", "reference", "webhdfs")
    for scheme in odd:
        assert _refused(f"{scheme}://127.0.0.1/x.parquet{part}").reason == "forbidden"
    for chain in ("zip://a::http", "s3://x::http", "memory://x::file"):
        assert _refused(f"{chain}://127.0.0.1/x.parquet{part}").reason == "forbidden"
    assert _refused(f"file:///x::http://127.0.0.1/x.parquet{part}").reason == "missing"


def test_addresses_inside_of_others_are_not_public() -> None:
    for address in (
        *("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "fd00:ec2::254"),
    ):
        assert not network.is_public(address), address
    for address in ("1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"):
        assert network.is_public(address), address


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_as_public_inside_of_ipv6(address: Any) -> None:
    assert network.is_public(f"::ffff:{address}") == network.is_public(str(address))


@given(st.text(max_size=30))
def test_any_address_is_refused_in_words(text: str) -> None:
    assert _refused(f"http://127.0.0.1:1/{text}".partition("#")[0]).message


@pytest.mark.parametrize(
    "uri",
    [
        "http://",
        "http://[",
        "http://a b/x",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://.../",
        "http://" + "a" * 300 + "/x",
        "http://\ud800/",
        "nonsense://x/y.png",
        "zip://x.jpg::http://127.0.0.1/x.zip",
        "simplecache::http://127.0.0.1/x.png",
        "s3://",
        "gs://nowhere/x",
    ],
)
def test_an_odd_address_is_refused_and_no_other_error(uri: str) -> None:
    with pytest.raises(ValueError, match=r".+: .+|is not a URL"):  # the scan quarantines both
        read_bytes(uri)

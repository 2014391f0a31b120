"""Where a server listens."""

from __future__ import annotations

import pytest

from repic.web.listening import accepted_hosts, address, is_loopback


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("127.9.9.9", True),
     ("0.0.0.0", False), ("10.0.0.7", False), ("rewards.example", False), ("::", False)],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_address_of_a_service_is_a_url() -> None:
    assert address("127.0.0.1", 8899) == "http://127.0.0.1:8899"
    assert address("::1", 8899) == address("[::1]", 8899) == "http://[::1]:8899"


def test_a_server_of_this_machine_has_only_its_names() -> None:
    assert accepted_hosts("127.0.0.1", ()) == ["127.0.0.1", "[::1]", "localhost"]
    assert "studio.example" in (accepted_hosts("0.0.0.0", ["studio.example"]) or ())
    assert accepted_hosts("0.0.0.0", ()) is None  # only with a token: `GuardRules` insists

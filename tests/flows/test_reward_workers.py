"""The deployment reward-workers: it starts the reward service and restarts it when it dies."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from flows.local import home
from flows.local.access import Access
from flows.reward_workers import _answers, _folder
from tests.ports import free_port

PROGRAM = """
import sys
from flows.reward_workers import reward_workers
print("started", reward_workers(workers=1, port=int(sys.argv[1]), store=sys.argv[2]))
"""


def test_nobody_there_does_not_answer() -> None:
    assert not _answers("127.0.0.1", free_port())


@pytest.mark.parametrize(
    ("bound", "host"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "0.0.0.0"),
     ("::1", "[::1]"), ("::", "::")],
)  # fmt: skip
def test_a_service_is_asked_at_its_own_address(bound: str, host: str) -> None:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in bound else socket.AF_INET

    with Server((bound, 0), Healthy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert _answers(host, server.server_port)
        server.shutdown()


def test_the_log_is_where_that_of_the_store_is_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(home.PARENT, str(tmp_path / "prefect"))
    monkeypatch.setenv("REPIC_HOME", str(tmp_path))
    monkeypatch.delenv("REPIC_STORE", raising=False)
    (tmp_path / "of a run").mkdir()
    monkeypatch.chdir(tmp_path / "of a run")
    assert _folder("mine") == home.prefect_home(str(tmp_path / "mine"))
    assert _folder(None) == home.prefect_home(str(tmp_path / "repic-store"))
    assert Path.cwd() == tmp_path / "of a run"


class Healthy(BaseHTTPRequestHandler):
    """Answers every request with 204."""

    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()


@pytest.mark.slow
def test_a_service_that_is_killed_comes_back_and_ends_with_its_run(
    user: dict[str, str], tmp_path: Path, api: Access
) -> None:
    port = free_port()
    log = tmp_path / "flow.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), str(tmp_path / "store")],
            env={**user, **api.client},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait(port, log, process)
        [service] = services(port)
        os.kill(service, signal.SIGKILL)
        deadline = time.monotonic() + 240
        while services(port) in ([service], []):  # its orphans may answer briefly
            assert time.monotonic() < deadline
            time.sleep(0.1)
        wait(port, log, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=240)
    assert not _answers("127.0.0.1", port)
    assert services(port) == []
    assert re.search(r"\(start 2\)", log.read_text()), log.read_text()


@pytest.mark.slow
def test_a_service_that_never_answers_fails_the_run(
    user: dict[str, str], tmp_path: Path, api: Access
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(port), str(tmp_path / "store")],
            env={**user, **api.client},
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 1
    assert "ProcessExitedError: No answer in 3 starts: the service ended with code" in done.stderr
    assert f"{port}" in done.stderr.rpartition("The end of ")[2], "the log says why"


def wait(port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not _answers("127.0.0.1", port):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()


def services(port: int) -> list[int]:
    """Processes of `repic reward serve` on this port."""
    pids = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = cmdline.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"--port={port}".encode() in command and b"serve" in command:
            pids.append(int(cmdline.parent.name))
    return pids

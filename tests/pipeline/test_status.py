"""`repic status`: builds, contents, what is missing, running processes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from flows.local import api
from flows.local.access import HOST, api_url
from repic.pipeline import failures, status
from storage.manifest import Run
from storage.store import Store
from tests.builds import PHOTOS, Built, build
from tests.ports import free_port

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The user's Prefect server is not queried."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url(free_port())}):
        yield


@pytest.mark.slow
def test_a_store_with_builds(built: Built, tmp_path: Path, repic_main: Main) -> None:
    store = built.copy(tmp_path / "store")
    mine = built.album.copy(tmp_path / "album")
    mine.file(0).write_bytes(b"")
    build(mine.settings(), store)
    store.tag("dataset@v1", "good")  # a move, but not of a build
    with store.lease():
        code, out, err = repic_main("status", "--json", f"--store={store.location}")
    assert code == 0, err
    status = json.loads(out)
    assert [b["dataset"] for b in status["builds"]] == ["dataset@v2", "dataset@v1"]
    assert "images@v2" in status["builds"][0]["versions"]
    run = built.outcome.dataset.run
    assert status["builds"][0]["by"] == f"{run.user}@{run.host}"
    assert status["dataset"] == "dataset@v2"
    assert status["rows"]["images"] == store.manifest("images@latest").rows
    assert status["quarantined"] == {"empty": 1}
    assert len(status["running"]) == 1
    assert status["flow_runs"] is None
    code, out, _ = repic_main("status", f"--store={store.location}")
    assert code == 0
    assert "Latest is dataset@v2" in out
    assert "in quarantine: 1 empty" in out
    assert "Running" not in out


def test_a_store_without_builds(tmp_path: Path, repic_main: Main) -> None:
    store = Store.open(tmp_path / "store", create=True)
    assert status.read(store) == status.Status((), None, {}, {}, {}, ())
    code, out, _ = repic_main("status", f"--store={store.location}")
    assert code == 0
    assert "Nothing was published yet." in out


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"[]", b"{}", b'{"when": "2026-01-01"}'])
def test_a_file_that_records_no_failure_hides_no_other(tmp_path: Path, content: bytes) -> None:
    store = Store.open(tmp_path / "store", create=True)
    failures.record(store, ValueError("no photos"), Run.here(), "build")
    store.files.replace("failures/.DS_Store", content)
    assert [failure.message for failure in status.read(store).failed] == ["no photos"]


@pytest.mark.slow
def test_a_build_that_failed_is_told_until_one_succeeds(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store = built.copy(tmp_path / "store")
    where = f"--store={store.location}"
    mine = built.album.copy(tmp_path / "album")
    kept = {number: mine.file(number).read_bytes() for number in (0, 1)}
    for number in kept:
        mine.file(number).write_bytes(b"")
    assert repic_main(*mine.arguments, where)[0] == 2
    (folder := mine.folder / "instances.json").rename(tmp_path / "away")
    assert repic_main(*mine.arguments, where)[0] == 2
    (tmp_path / "away").rename(folder)
    _, out, _ = repic_main("status", "--json", where)
    status = json.loads(out)
    assert [failure["error"] for failure in status["failed"]] == ["SourceError", "QuarantineError"]
    assert f"2 of {PHOTOS} files cannot be used (2 empty)" in status["failed"][1]["message"]
    run = built.outcome.dataset.run
    assert status["failed"][0]["by"] == f"{run.user}@{run.host}"
    assert (status["dataset"], len(status["builds"])) == ("dataset@v1", 1)
    _, out, _ = repic_main("status", where)
    assert "QuarantineError: nothing was published: 2 of" in out
    for number, data in kept.items():
        mine.file(number).write_bytes(data)
    assert repic_main(*mine.arguments, where)[0] == 0
    _, out, _ = repic_main("status", "--json", where)
    assert json.loads(out)["failed"] == []


@pytest.mark.slow
def test_what_was_killed_is_told_until_the_next_build(
    built: Built, tmp_path: Path, repic_main: Main
) -> None:
    store = built.copy(tmp_path / "store")
    where = f"--store={store.location}"
    program = (
        "import os, signal, sys; from storage.store import Store; "
        "store = Store.open(sys.argv[1]); lease = store.lease(); lease.__enter__(); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, store.location], timeout=300, check=False)
    _, out, _ = repic_main("status", "--json", where)
    [died] = json.loads(out)["died"]
    assert died.startswith("build of process ")
    _, out, _ = repic_main("status", where)
    assert f"Died: {died}" in out
    mine = built.album.copy(tmp_path / "album")
    mine.file(0).write_bytes(b"")
    build(mine.settings(), store)
    _, out, _ = repic_main("status", "--json", where)
    assert json.loads(out)["died"] == []


def test_each_kind_of_work_has_its_failures(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    works: tuple[failures.Work, ...] = ("build", "train", "evaluate")
    for work in works:
        for number in range(failures.MAX_FAILURES + 1):
            with pytest.raises(KeyError), failures.recorded(store, Run.here(), work):
                raise KeyError(number)
    assert [f.work for f in failures.find(store)] == [
        work for work in reversed(works) for _ in range(failures.MAX_FAILURES)
    ]
    failures.clear(store, "train")
    assert {f.work for f in failures.find(store)} == {"build", "evaluate"}
    failures.clear(store)
    assert {f.work for f in failures.find(store)} == {"evaluate"}


def test_the_newest_failures_are_kept_and_an_interruption_is_none(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    for number in range(failures.MAX_FAILURES + 2):
        with pytest.raises(KeyError), failures.recorded(store, Run.here("a flow run")):
            raise KeyError(number)
    with pytest.raises(KeyboardInterrupt), failures.recorded(store, Run.here()):
        raise KeyboardInterrupt
    failed = failures.find(store)
    assert [f.message for f in failed] == ["6", "5", "4", "3", "2"]
    assert {(f.error, f.flow_run) for f in failed} == {("KeyError", "a flow run")}
    assert failed[0].when > failed[1].when


class Answers(BaseHTTPRequestHandler):
    """The part of Prefect's response that is read, as server 3.8 gives it."""

    RUN: ClassVar = {
        "id": "5cbe8dc6-5fa3-4fbb-9b17-c733a1f9572e",
        "name": "sample",
        "state_name": "Failed",
        "start_time": "2026-11-24T21:02:44.299812Z",
        "state": {"type": "FAILED", "message": "no such folder"},
    }

    def do_GET(self) -> None:
        """Prefect asks for a token against forged requests; this server has none."""
        self.send_response(404)
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        known = self.path == "/api/flow_runs/filter"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps([self.RUN, {**self.RUN, "state": None}]).encode())

    def log_message(self, *message: object) -> None:
        pass


def test_the_last_flow_runs() -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with HTTPServer((HOST, 0), Answers) as answering:
        Thread(target=answering.serve_forever, daemon=True).start()
        with temporary_settings({PREFECT_API_URL: api_url(answering.server_port)}):
            runs = api.recent_flow_runs()
        answering.shutdown()
    first, second = runs or []
    assert (first.name, first.state, first.message) == ("sample", "Failed", "no such folder")
    assert second.message is None


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setattr(api, "TIMEOUT", 0.2)
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen()
        with temporary_settings({PREFECT_API_URL: api_url(silent.getsockname()[1])}):
            assert api.recent_flow_runs() is None

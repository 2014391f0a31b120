"""A store on S3 by the command line: builds, a kill, two at once, and all that maintains it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from storage import integrity
from storage.errors import NotFoundError
from storage.store import Store
from tests import duckdb_client
from tests.builds import Album, Built, contents, start
from tests.flows.cluster_page import command
from tests.storage.s3_server import S3Server, serving

s3fs = pytest.importorskip("s3fs")
s3 = pytest.importorskip("storage.s3")

pytestmark = pytest.mark.slow

Main = Callable[..., tuple[int, str, str]]
SMALL_SHARDS = "--set=runtime.shard_rows=16"
OTHER = "--set=examples.seed=7"
SOON = 240.0
"""Seconds until a command says that a server is not there, on a busy machine; botocore alone asks
a silent one for five minutes."""


def as_a_new_process() -> None:
    """Read the variables of AWS again, which fsspec remembers by its cache of file systems."""
    for kind in (s3fs.S3FileSystem, s3.StoreS3FileSystem):
        kind.clear_instance_cache()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    as_a_new_process()
    with serving() as started:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in started.environment.items():
            monkeypatch.setenv(name, value)
        yield started


def kill_at_first_result(arguments: list[str], server: S3Server) -> None:
    """Start a build, and kill it when the store has one finished shard."""
    running = start(arguments)
    deadline = time.monotonic() + 300
    while running.poll() is None and time.monotonic() < deadline:
        with suppress(NotFoundError):
            if Store.open(server.store(), storage_options=server.options).files.find("parts"):
                break
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    said = running.communicate()[1]
    assert running.returncode == -signal.SIGKILL, said


def test_a_build_is_killed_goes_on_beside_another_and_is_that_of_a_disk(
    album: Album, built: Built, server: S3Server, tmp_path: Path, repic_main: Main
) -> None:
    where = f"--store={server.store()}"
    arguments = [*album.arguments, SMALL_SHARDS, where]
    kill_at_first_result(arguments, server)
    store = Store.open(server.store(), storage_options=server.options)
    kept = store.files.find("parts").keys()
    assert not store.names()
    both = [start(arguments), start([*arguments, OTHER])]
    for running in both:
        printed, said = running.communicate(timeout=500)
        assert running.returncode == 0, said
        assert "Published dataset@v" in printed + said
    assert kept <= store.files.find("parts").keys(), "what was finished before the kill is used"
    made = store.find("dataset", built.outcome.dataset.fingerprint)
    assert made
    assert {bound.name: store.manifest(bound.ref).content for bound in made.inputs} == {
        name: content for name, (_, content) in contents(built.outcome).items() if name != "dataset"
    }
    assert store.versions("dataset") == [1, 2]
    assert store.resolve("dataset").version in (1, 2)

    # Again: nothing new; then everything that reads, cleans and mends.
    code, _, err = repic_main(*arguments)
    assert code == 0, err
    assert store.versions("dataset") == [1, 2]
    query = f"select count(*) as n from v{made.version}.examples"
    [rows] = [
        store.manifest(bound.ref).rows
        for bound in store.manifest("dataset@v1").inputs
        if bound.name == "examples"
    ]
    assert repic_main("verify", where)[:2] == (0, "Clean: every file matches its manifest.\n")
    code, out, err = repic_main("sql", where, "--format=csv", query)
    assert (code, out.split()) == (0, ["n", str(built.outcome.tables["examples"].rows)]), err
    code, out, err = repic_main("catalog", where, f"--out={tmp_path / 'c.duckdb'}")
    assert code == 0, err
    with duckdb_client.opened(tmp_path / "c.duckdb") as connection:
        connection.register_filesystem(store.files.fs)
        assert connection.execute("select count(*) from v1.examples").fetchall() == [(rows,)]
    code, out, err = repic_main("status", where)
    assert code == 0, err
    assert "dataset@v2" in out
    store.files.replace("tmp/left", b"by a killed process")
    code, out, err = repic_main("gc", "--apply", where)
    assert (code, err) == (0, "")
    assert not store.files.find("tmp")
    assert integrity.verify(store) == []

    damaged, lost = (store.manifest(f"{name}@v1").shards[0].path for name in ("pairs", "labels"))
    store.files.replace(damaged, b"other bytes")
    store.files.remove(lost)
    code, out, _ = repic_main("verify", where)
    assert code == 1
    assert damaged in out
    assert lost in out
    code, out, err = repic_main("repair", where)
    assert code == 0, out + err
    assert repic_main("verify", where)[0] == 0
    assert store.read("pairs@v1").num_rows == store.manifest("pairs@v1").rows


def test_the_commands_of_the_page(
    album: Album, server: S3Server, tmp_path: Path, repic_main: Main
) -> None:
    for path in sorted((album.folder / "photos").iterdir())[:12]:
        shutil.copy(path, tmp_path)
    server.upload(tmp_path)
    for pattern in ("repic build --images s3", "repic sql", "repic verify"):
        (_, *words), _ = command(pattern, {"s3://bucket": f"s3://{server.bucket}"}, "s3.md")
        code, out, err = repic_main(*words)
        assert code == 0, out + err
    assert "Clean" in out


@pytest.mark.parametrize("command", [("status",), ("build", "--profile", "sample")])
def test_what_is_wrong_with_a_bucket_is_one_sentence(
    command: tuple[str, ...], server: S3Server, monkeypatch: pytest.MonkeyPatch, repic_main: Main
) -> None:
    code, _, err = repic_main(*command, "--store", "s3://nowhere/store")
    assert code == 2
    assert err.count("\n") == 1
    assert ("There is no store" if command == ("status",) else "bucket or folder does not") in err
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    as_a_new_process()
    code, _, err = repic_main(*command, "--store", server.store())
    assert code == 2
    assert "There are no credentials for S3" in err


def test_photos_that_cannot_be_listed_are_one_sentence(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repic_main: Main
) -> None:
    build = ("build", "--store", str(tmp_path / "store"), "--images")
    code, _, err = repic_main(*build, "s3://nowhere/photos")
    assert (code, "there is no folder s3://nowhere/photos" in err) == (2, True)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with socket.socket() as bound:  # nobody listens
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{bound.getsockname()[1]}")
        as_a_new_process()
        code, _, err = repic_main(*build, f"s3://{server.bucket}/photos")
    assert code == 2
    assert "cannot be reached" in err
    assert "Traceback" not in err


def test_what_is_not_there_is_a_sentence_soon(server: S3Server) -> None:
    """As users meet it: with the attempts and time-outs that AWS has by default."""
    with socket.socket() as refusing, socket.socket() as silent:
        for bound in (refusing, silent):
            bound.bind(("127.0.0.1", 0))
        silent.listen()  # takes connections, and never says a word
        urls = [f"http://127.0.0.1:{bound.getsockname()[1]}" for bound in (refusing, silent)]
        asked = {
            rf"repic: S3 at {url} cannot be reached \(.*\): .*\n": S3Server(url, "bucket")
            for url in urls
        }
        asked[r"repic: .*bucket or folder does not.*\n"] = replace(server, bucket="nowhere")
        build = ("build", "--profile", "sample", "--store")
        running = {
            said: start([*build, one.store()], env=one.environment) for said, one in asked.items()
        }
        for said, process in running.items():
            printed, errors = process.communicate(timeout=SOON)
            assert (process.returncode, printed) == (2, "")
            assert re.fullmatch(said, errors)

"""Builds and the garbage collector exclude each other, whatever clocks and containers say."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import leases, processes
from storage.errors import NotFoundError, StoreError
from storage.gc import gc
from storage.leases import Lease, UnreadableLease
from storage.processes import Process
from storage.store import Store
from tests.storage.stores import build, origin, rows

LONG_AGO = datetime(1999, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2999, 1, 1, tzinfo=UTC)
ELSEWHERE = {"boot": "another", "host": "elsewhere", "pid": 1}

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="needs Linux")


def put(store: Store, role: leases.Role = "build", **fields: object) -> Lease:
    """The lease of a process that is as this one but for some fields."""
    lease = Lease.new(role).model_copy(update=fields)
    store.files.replace(lease.path, lease.model_dump_json().encode())
    return lease


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def with_garbage(store: Store) -> str:
    """A store with a version and a part that no version names; returns the path of the part."""
    build(store, 1)
    return store.write_part("objects", rows(0, 5), recipe="r", covers=["a"]).shard.path


def test_a_lease_is_there_while_it_is_held(store):
    with store.lease():
        with store.lease():
            store.publish("images", rows(0, 5), origin("f"), key=["id"])
        assert [lease.live for lease in store.leases.find()] == [True]
    assert store.leases.find() == []


@needs_proc
@pytest.mark.parametrize("heartbeat", [LONG_AGO, FAR_AHEAD])
def test_on_this_machine_only_the_process_decides(store, heartbeat):
    assert put(store, heartbeat=heartbeat).runs() is True
    assert put(store, heartbeat=heartbeat, pid=dead_pid()).runs() is False
    assert put(store, heartbeat=heartbeat, born=1).runs() is False, "the id was used again"
    assert put(store, heartbeat=heartbeat, host="a new name").runs() is True


@needs_proc
def test_a_process_that_nobody_has_waited_for_has_ended():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = processes._stat(process.pid)
    identity = Process.this().model_copy(update={"pid": process.pid, "born": stat and stat[1]})
    assert identity.runs() is True
    process.kill()
    until(lambda: identity.runs() is False)
    process.wait()


@given(
    where=st.sampled_from([{"boot": "b"}, {"namespace": "n"}, {"boot": None}, {"namespace": None}]),
    pid=st.integers(1, 2**31 - 1),
    born=st.none() | st.integers(0),
    heartbeat=st.datetimes(timezones=st.just(UTC)),
)
def test_elsewhere_no_clock_and_no_pid_decides(where, pid, born, heartbeat):
    fields = {**where, "pid": pid, "born": born, "heartbeat": heartbeat, "started": heartbeat}
    lease = Lease.new("build").model_copy(update=fields)
    assert lease.runs() is None
    assert lease.live
    assert "--forget-lease" in lease.advice


def test_without_proc_every_lease_is_live(monkeypatch):
    lease = Lease.new("build").model_copy(update={"pid": dead_pid()})
    monkeypatch.setattr(processes, "boot_id", lambda: None)
    assert lease.runs() is None
    monkeypatch.setattr(processes, "_stat", lambda pid: None)
    assert Lease.new("build").runs() is None


@needs_proc
def test_without_start_times_the_kernel_still_tells(monkeypatch):
    """As on macOS, or where /proc shows another namespace."""
    running, ended = Process.this(), Process.this().model_copy(update={"pid": dead_pid()})
    monkeypatch.setattr(processes, "_stat", lambda pid: None)
    assert running.runs() is True
    assert Process.this().runs() is True
    assert ended.runs() is False


def test_a_lease_of_the_first_format_is_live(store):
    part = with_garbage(store)
    old = {
        "role": "build",
        "id": "0" * 32,
        "pid": dead_pid(),
        "host": "elsewhere",
        "started": LONG_AGO.isoformat(),
        "heartbeat": LONG_AGO.isoformat(),
    }
    store.files.replace(f"leases/{'0' * 32}.json", json.dumps(old).encode())
    garbage = gc(store, delete=True)
    assert "build of process" in str(garbage.blocked_by[0])
    assert part in store.files.find("parts")
    assert gc(store, delete=True, forget_leases=["0" * 32]).deleted


@needs_proc
def test_a_live_build_stops_gc_and_a_dead_one_does_not(store):
    part = with_garbage(store)
    elsewhere = put(store, **ELSEWHERE)
    ended = put(store, pid=dead_pid())
    blocked = gc(store, delete=True)
    assert blocked.blocked_by == (elsewhere,)
    assert not blocked.deleted
    assert {file.path for file in blocked.files} == {part, ended.path}
    assert store.parts("objects", "r")
    store.files.remove(elsewhere.path)
    assert gc(store, delete=True).deleted
    assert not store.parts("objects", "r")
    assert store.leases.find() == []


NO_ZONE = Lease.new("build").model_copy(update={"started": datetime(2026, 1, 1)})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"build-{'0' * 32}.json", b""),
        (f"build-{'1' * 32}.json", b'{"role": "build", "pid": 1'),
        (f"build-{'2' * 32}.json", Lease.new("build").model_dump_json().encode()),
        ("notes.txt", b"\xff\xfe"),
        (".DS_Store", b"\x00\x00\x00\x01"),
        ("deep/er.json", b"[]"),
        (f"{NO_ZONE.id}.json", NO_ZONE.model_dump_json().encode()),
    ],
    ids=["empty", "cut", "of another file", "text", "macOS", "in a folder", "no time zone"],
)
def test_what_cannot_be_read_as_a_lease_is_live_and_named(store, name, content):
    part = with_garbage(store)
    store.files.replace(f"leases/{name}", content)
    build(store, 2)  # it stops no build
    for delete in (False, True):
        garbage = gc(store, delete=delete)
        [lease] = garbage.blocked_by
        assert name in str(lease)
        assert "cannot be read as a lease" in str(lease)
        assert [file.path for file in garbage.files] == [part]
    assert gc(store, delete=True, forget_leases=[lease.id]).deleted
    assert not store.files.find("leases")


def test_a_lease_that_the_disk_does_not_give_is_live(store, monkeypatch):
    part, lease, real = with_garbage(store), put(store, pid=dead_pid()), store.files.open

    def refused(path: str) -> IO[bytes]:
        if path == lease.path:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(store.files, "open", refused)
    [blocked] = gc(store, delete=True).blocked_by
    assert isinstance(blocked, UnreadableLease)
    assert blocked.path == lease.path
    assert "Permission denied" in str(blocked)
    assert part in store.files.find("parts")


def test_a_build_waits_for_a_collector_whose_lease_cannot_be_read(store, monkeypatch):
    monkeypatch.setattr(leases, "PATIENCE", timedelta(seconds=0.1))
    store.files.replace(f"leases/gc-{'0' * 32}.json", b"")
    with pytest.raises(StoreError, match=r"gc-0+\.json.*--forget-lease gc-0+`"):
        build(store, 1)


def test_only_a_lease_that_does_not_run_can_be_forgotten(store):
    part = with_garbage(store)
    with pytest.raises(NotFoundError, match="There is no lease build-1: the store has none"):
        gc(store, forget_leases=["build-1"])
    with store.lease(), pytest.raises(StoreError, match=r"runs on this machine: wait for it"):
        gc(store, delete=True, forget_leases=[lease.id for lease in store.leases.find()])
    elsewhere = [put(store, **ELSEWHERE).id, put(store, "gc", **ELSEWHERE).id]
    assert len(gc(store, delete=True, forget_leases=elsewhere[:1]).blocked_by) == 1
    assert part in store.files.find("parts")
    assert gc(store, forget_leases=elsewhere[1:]).blocked_by == ()
    assert gc(store, delete=True, forget_leases=elsewhere[1:]).deleted
    assert store.leases.find() == []


def test_a_forgotten_build_that_goes_on_stops_at_its_next_write(store, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT", timedelta(seconds=0.02))
    build(store, 1)
    before = store.files.find("")
    with store.lease():
        for path in store.files.find("leases"):
            store.files.remove(path)
        time.sleep(0.2)  # no heartbeat brings it back
        assert store.leases.find() == []
        with pytest.raises(StoreError, match="is gone, so gc may have deleted"):
            store.publish("images", rows(0, 5), origin("f"), key=["id"])
    assert store.files.find("") == before
    build(store, 2)


def test_a_forgotten_collector_stops_before_its_next_deletion(store, monkeypatch):
    build(store, 1)
    for name in "abc":
        store.files.replace(f"tmp/{name}", b"1")
    discard = store.files.discard

    def forgotten(path: str) -> None:
        discard(path)
        for lease in store.files.find("leases"):
            store.files.remove(lease)

    monkeypatch.setattr(store.files, "discard", forgotten)
    with pytest.raises(StoreError, match=r"The lease gc-.* is gone"):
        gc(store, delete=True)
    assert sorted(store.files.find("tmp")) == ["tmp/b", "tmp/c"]


def test_a_build_waits_for_gc(store):
    other = Store.open(store.location)
    done = threading.Event()

    def build() -> None:
        with other.lease():
            done.set()

    with store.leases.gc():
        thread = threading.Thread(target=build)
        thread.start()
        assert not done.wait(0.3)
    assert done.wait(60)
    thread.join()


def test_a_build_does_not_wait_for_ever(store, monkeypatch):
    monkeypatch.setattr(leases, "PATIENCE", timedelta(seconds=0.2))
    other = Store.open(store.location)
    with store.leases.gc(), pytest.raises(StoreError, match=r"gc of process .* wait for it"):
        other.publish("images", rows(0, 5), origin("f"), key=["id"])
    assert store.leases.find() == []


def test_the_heart_beats_on_after_writes_that_failed(store, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT", timedelta(seconds=0.02))
    replace, failures = store.files.replace, []

    def full(path: str, data: bytes, **how: bool) -> None:
        if len(failures) < 5:
            failures.append(path)
            raise (StoreError, OSError, RuntimeError)[len(failures) % 3]("no")
        replace(path, data, **how)

    with store.lease():
        first = store.leases.find()[0].heartbeat
        monkeypatch.setattr(store.files, "replace", full)
        until(lambda: store.leases.find()[0].heartbeat > first)
    assert len(failures) == 5
    assert store.leases.find() == []


HOLD = """
import sys, time
from storage.store import Store
with Store.open(sys.argv[1]).lease():
    print("held", flush=True)
    time.sleep(60)
"""

COLLECT = """
import sys
from storage.gc import gc
from storage.store import Store
garbage = gc(Store.open(sys.argv[1]), delete=True)
print(len(garbage.blocked_by), garbage.deleted)
"""

CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def has_containers() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*CONTAINER, "true"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not has_containers(), reason="needs the right to make a PID namespace")
def test_builds_of_two_containers_are_not_taken_for_each_other(store):
    """The host name is the same, and the process ids of one say nothing in the other."""
    part = with_garbage(store)
    hold = [sys.executable, "-c", HOLD, store.location]
    collect = [sys.executable, "-c", COLLECT, store.location]
    with subprocess.Popen([*CONTAINER, *hold], stdout=subprocess.PIPE, text=True) as inside:
        assert inside.stdout is not None
        assert inside.stdout.readline() == "held\n"
        [lease] = gc(store, delete=True).blocked_by
        assert isinstance(lease, Lease)
        assert lease.pid < 10
        assert lease.runs() is None
        os.kill(inside.pid, signal.SIGKILL)
    [again] = gc(store, delete=True).blocked_by  # whether it has ended cannot be known
    assert part in store.files.find("parts")
    with store.lease():
        seen = subprocess.run(
            [*CONTAINER, *collect], capture_output=True, text=True, check=True
        ).stdout
        assert seen == "2 False\n"
    assert gc(store, delete=True, forget_leases=[again.id]).deleted
    assert part not in store.files.find("parts")

"""Builds and the garbage collector exclude each other."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from storage import leases
from storage.errors import StoreError
from storage.gc import gc
from storage.leases import Lease
from storage.store import Store
from tests.storage.stores import origin, rows


def put(store: Store, **fields: object) -> Lease:
    lease = Lease(role="build", **fields)  # type: ignore[arg-type]
    store.files.replace(lease.path, lease.model_dump_json().encode())
    return lease


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lease_is_there_while_it_is_held(store):
    with store.lease():
        with store.lease():
            store.publish("images", rows(0, 5), origin("f"), key=["id"])
        assert [lease.live for lease in store.leases.find()] == [True]
    assert store.leases.find() == []


def test_stale_leases(store):
    old = datetime.now(UTC) - timedelta(hours=2)
    assert not put(store, heartbeat=old).live
    assert not put(store, pid=dead_pid()).live
    assert put(store, host="elsewhere", pid=1).live
    assert not put(store, host="elsewhere", pid=1, heartbeat=old).live


def test_a_live_build_stops_gc_and_a_dead_one_does_not(store):
    store.write_part("objects", rows(0, 5), recipe="r", covers=["a"])
    alive = put(store, host="elsewhere")
    blocked = gc(store, delete=True)
    assert blocked.blocked_by == (alive,)
    assert not blocked.deleted
    assert "build of process" in str(blocked.blocked_by[0])
    assert store.parts("objects", "r")
    store.files.remove(alive.path)
    put(store, pid=dead_pid())
    assert gc(store, delete=True).deleted
    assert not store.parts("objects", "r")
    assert store.leases.find() == []


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
    assert done.wait(5)
    thread.join()


def test_a_build_does_not_wait_for_ever(store, monkeypatch):
    monkeypatch.setattr(leases, "PATIENCE", timedelta(seconds=0.2))
    other = Store.open(store.location)
    with store.leases.gc(), pytest.raises(StoreError, match=r"gc of process .* wait for it"):
        other.publish("images", rows(0, 5), origin("f"), key=["id"])
    assert store.leases.find() == []


def test_the_heart_beats(store, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT", timedelta(seconds=0.05))
    with store.lease():
        first = store.leases.find()[0].heartbeat
        waited = threading.Event()
        for _ in range(100):
            waited.wait(0.05)
            if store.leases.find()[0].heartbeat > first:
                break
        assert store.leases.find()[0].heartbeat > first
    assert store.leases.find() == []

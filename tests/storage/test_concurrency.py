"""Many writers at once, and writers that are killed."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from storage.catalog import catalog
from storage.gc import gc
from storage.integrity import verify
from storage.store import Store
from tests.storage.stores import build, origin, rows


def publish_ten(location: str, writer: int) -> list[int]:
    store = Store.open(location)
    versions = []
    for i in range(10):
        name = f"{writer}-{i}"
        manifest = store.publish("images", rows(0, 5, value=writer), origin(name), key=["id"])
        store.commit({"images": manifest.version})
        versions.append(manifest.version)
    return versions


def publish_same(location: str, number: int) -> int:
    store = Store.open(location)
    return store.publish("images", rows(0, 5), origin(f"same{number // 4}"), key=["id"]).version


@pytest.mark.slow
def test_four_processes_get_consecutive_numbers(store):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=spawn) as pool:
        numbers = list(pool.map(publish_ten, [store.location] * 4, range(4)))
        assert sorted(itertools.chain(*numbers)) == store.versions("images") == list(range(1, 41))
        same = list(pool.map(publish_same, [store.location] * 16, range(16)))
    assert len(set(same)) == 4
    assert store.versions("images")[-1] == 44
    assert verify(store) == []
    assert gc(store, delete=True).files == ()
    assert [s.number for s in store.history()] == list(range(len(store.history()), 0, -1))


def test_threads_share_one_store(memory):
    def publish(i: int) -> int:
        return memory.publish("images", rows(0, 3), origin(str(i)), key=["id"]).version

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(publish, range(24))) == list(range(1, 25))
    assert verify(memory) == []
    assert memory.leases.find() == []


@pytest.fixture
def hasty_threads():
    """Threads that take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_file_in_memory_is_there_whole_or_not_at_all(memory, hasty_threads):
    together = Barrier(8)

    def put(data: bytes) -> list[bytes]:
        seen: list[bytes] = []
        together.wait()
        memory.files.put("shards", ".bin", [data], lambda file: seen.append(file.read()))
        return seen

    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            data = b"%d" % number * 1000
            assert set(itertools.chain(*pool.map(put, [data] * 8))) == {data}


def test_of_many_who_create_a_file_in_memory_one_does(memory, hasty_threads):
    together = Barrier(8)

    def create(path: str) -> bool:
        together.wait()
        return memory.files.create(path, b"x")

    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            assert sum(pool.map(create, [f"refs/{number}"] * 8)) == 1


def test_readers_of_a_file_in_memory_have_their_own_position(memory):
    memory.files.create("refs/a", b"abcd")
    with memory.files.open("refs/a") as one, memory.files.open("refs/a") as two:
        assert (one.read(2), two.read(), one.read()) == (b"ab", b"abcd", b"cd")
    with pytest.raises(FileNotFoundError):
        memory.files.open("refs/b")


WRITER = """
import sys, time
from tests.storage.stores import build, rows
from storage.catalog import catalog
from storage.store import Store
store = Store.open(sys.argv[1])
number = int(sys.argv[2])
while True:
    started = time.monotonic()
    store.write_part("objects", rows(0, number % 50 + 1), recipe="r", covers=["a"])
    build(store, number, photos=number % 7 + 3)
    catalog(store)
    number += 1
    print(time.monotonic() - started, flush=True)
"""


@pytest.mark.slow
def test_kills_at_random_moments_leave_only_whole_versions(store):
    build(store, 0)
    catalog(store)
    draw = random.Random(0)
    here = Path(__file__).parent
    for kill in range(15):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, store.location, str(1000 * (kill + 1))],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(here.parents[1])},
        )
        assert writer.stdout
        a_round = float(writer.stdout.readline())
        time.sleep(draw.uniform(0, 2 * a_round))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        reader = Store.open(store.location)
        bound = reader.manifest("dataset@latest").inputs
        assert {len(reader.read(i.ref)) for i in bound} == {reader.manifest(bound[0].ref).rows}
        latest = {name: ref.latest for name, ref in reader.current().refs.items()}
        assert latest == {i.name: i.version for i in bound} | {"dataset": latest["dataset"]}
        assert verify(reader) == []
    for name in store.names():
        assert store.versions(name) == list(range(1, len(store.versions(name)) + 1))
    assert gc(store, delete=True).deleted
    assert store.files.find("tmp") == store.files.find("leases") == {}
    assert verify(store) == []
    assert len(store.versions("dataset")) > 15

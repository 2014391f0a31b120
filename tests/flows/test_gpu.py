"""Turns on the GPU: a lock per process, and a leased slot of Prefect per host."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from flows import gpu
from flows.local.access import Access
from repic.errors import ConfigError
from tests.flows.up import client_of


def test_threads_of_a_process_take_turns_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPIC_GPU_SLOTS", raising=False)
    log: list[str] = []

    def work(name: str) -> None:
        with gpu.turn():
            log.append(f"{name} begins")
            time.sleep(0.05)
            log.append(f"{name} ends")

    threads = [Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [line[0] for line in log[::2]]
    assert sorted(names) == ["a", "b", "c"]
    assert log == [f"{name} {event}" for name in names for event in ("begins", "ends")]


@pytest.mark.parametrize("slots", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_slots_names_the_remedy(
    slots: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPIC_GPU_SLOTS", slots)
    with pytest.raises(ConfigError, match="set it to a whole number above 0"), gpu.turn():
        pass


HOLDER = """
import socket, sys
socket.gethostname = lambda: sys.argv[1]
from flows import gpu
with gpu.turn():
    print("holds", flush=True)
    sys.stdin.read()
print("released", flush=True)
"""


class Worker:
    """A process that takes a turn on a host, and holds it until its input is closed."""

    def __init__(self, host: str, output: Path, env: dict[str, str]) -> None:
        self.output = output
        with output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", HOLDER, host],
                env=env,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    @property
    def holds(self) -> bool:
        return self.output.read_text().splitlines()[:1] == ["holds"]

    def seconds_until_it_holds(self, limit: float) -> float:
        start = time.monotonic()
        while not self.holds:
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() - start < limit, self.output.read_text()
            time.sleep(0.05)
        return time.monotonic() - start

    def release(self) -> None:
        self.process.communicate()
        assert "released" in self.output.read_text()


@pytest.mark.slow
def test_the_slot_of_a_killed_process_returns_and_that_of_a_live_one_stays(
    tmp_path: Path, user: dict[str, str], api: Access
) -> None:
    env = {**user, **api.client, "REPIC_GPU_SLOTS": "1"}
    workers: list[Worker] = []

    def start(host: str) -> Worker:
        workers.append(Worker(host, tmp_path / str(len(workers)), env))
        return workers[-1]

    try:
        live, killed = start("live"), start("killed")
        for holder in (live, killed):
            holder.seconds_until_it_holds(240)
        after_live, after_killed = start("live"), start("killed")
        time.sleep(5)
        assert not after_live.holds
        assert not after_killed.holds

        killed.process.kill()
        seconds = after_killed.seconds_until_it_holds(gpu.LEASE + 60)
        assert not after_live.holds, "the lease of a live process is renewed"
        with client_of(api) as client:
            limit = client.read_global_concurrency_limit_by_name("repic-gpu-live")
        assert (limit.limit, limit.active_slots) == (1, 1)
        assert seconds > 5, "the lease had to expire first"

        live.release()
        seconds = after_live.seconds_until_it_holds(gpu.LEASE + 60)
        assert seconds < gpu.LEASE, "a slot given back is free at once"
        after_live.release()
        after_killed.release()
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()

"""`repic reward serve` as a process: required tokens, and workers that are replaced."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from repic.pipeline.progress import NoProgress
from repic.rewards.scoring import score
from repic.rewards.server import serve
from repic.rewards.server.client import RetryPolicy, RewardClient, score_now
from repic.training import grpo
from repic.training.reward import RemoteReward
from repic.training.run import train
from tests.builds import PROGRAM, Built, repic
from tests.ports import free_port
from tests.rewards.server.workers import HARM, harmful, worker
from tests.training.runs import planned, small

HALF_SENT = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"
ROW = {"objective": "oct", "kind": "positive", "answer": "yes"}


@contextmanager
def service(
    *options: str, program: Sequence[str | Path] = PROGRAM, **environment: str
) -> Iterator[tuple[str, Any]]:
    """URL and process of a service that is ready; it may log little, whatever it is sent."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # A file, because a service would wait for ever on a full pipe that nobody reads.
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*program, "reward", "serve", f"--port={port}", *options],
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 120
            while not answers(url):
                assert process.poll() is None, log.seek(0) or log.read()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield url, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=240)
        assert log.seek(0, os.SEEK_END) < 64_000


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=30) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """Worker processes of the service."""
    workers = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z" and b"spawn_main" in command:
            workers.append(int(stat.parent.name))
    return workers


def test_an_open_address_wants_a_token() -> None:
    done = repic("reward", "serve", "--host", "0.0.0.0", env={"REPIC_REWARD_TOKEN": ""})
    assert done.returncode == 2
    assert "set REPIC_REWARD_TOKEN to a secret" in " ".join(done.stderr.split())
    assert "Rewards at" not in done.stderr


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = repic("reward", "serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "(Address already in use): choose another --port" in " ".join(done.stderr.split())
    assert "Rewards at" not in done.stderr


def has_served(pid: int, temporary: Path) -> bool:
    """Whether a worker has counted a request: its counters are files in a temporary folder."""
    return any(temporary.glob(f"repic-rewards-*/*_{pid}.db"))


@pytest.mark.slow
def test_workers_that_die_or_hang_are_replaced(tmp_path: Path) -> None:
    environment = {"REPIC_REWARD_TOKEN": "abc", "TMPDIR": str(tmp_path)}
    with service("--workers=2", **environment) as (url, process):
        client = RewardClient([url], token="abc", policy=RetryPolicy(seconds=2, rows=1))
        assert [r and r.total for r in score_now(client, ["yes"], [ROW])] == [1.0]
        for harm in (signal.SIGKILL, signal.SIGSTOP):
            before = children(process.pid)
            assert len(before) == 2
            os.kill(before[0], harm)
            deadline = time.monotonic() + 240
            while before[0] in (now := children(process.pid)) or len(now) != 2:
                assert time.monotonic() < deadline, f"{before} became {now}"
                time.sleep(0.05)
            (new,) = set(now) - set(before)
            while not has_served(new, tmp_path):
                assert time.monotonic() < deadline, f"{new} serves nothing"
                rewards = score_now(client, ["yes"] * 8, [ROW] * 8)
                assert [r and r.total for r in rewards] == [1.0] * 8
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/metrics")
        request = urllib.request.Request(f"{url}/metrics", headers={"Authorization": "Bearer abc"})
        assert 'outcome="scored"' in urllib.request.urlopen(request).read().decode()


@pytest.mark.slow
@pytest.mark.parametrize("is_hung", [False, True])
def test_workers_end_with_a_parent_that_is_killed(is_hung: bool) -> None:
    with service("--workers=2") as (url, process):
        workers = children(process.pid)
        assert len(workers) == 2
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            if is_hung:  # a request in progress
                client.sendall(HALF_SENT)
            process.kill()
            process.wait()
            deadline = time.monotonic() + serve.GRACE + 120
            while any(map(is_running, workers)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert not answers(url)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_the_sample_model_trains_alike_while_workers_are_killed(
    built: Built, tmp_path: Path
) -> None:
    """Rewards in this process and over HTTP are equal to 1e-6, also while a worker dies."""
    changes = ("trainer.max_completion_length=32", "train.max_prompt_tokens=1024")
    settings = small("sample-base", *changes)
    stores = [built.copy(tmp_path / name) for name in ("here", "there")]
    here = train(settings, stores[0])
    with service("--workers=2") as (url, process):
        os.kill(children(process.pid)[0], signal.SIGKILL)
        served = settings.model_copy(
            update={"train": settings.train.model_copy(update={"reward_urls": [url]})}
        )
        there = train(served, stores[1])
    assert here is not None
    assert here.rollouts is not None
    assert there is not None
    assert there.rollouts is not None
    order = [(name, "ascending") for name in ("step", "group", "sample")]
    first, second = (
        store.read(outcome.rollouts.ref).sort_by(order).to_pylist()
        for store, outcome in zip(stores, (here, there), strict=True)
    )
    assert json.dumps([row["completion"] for row in first]) == json.dumps(
        [row["completion"] for row in second]
    )
    assert [row["reward"] for row in second] == pytest.approx(
        [row["reward"] for row in first], abs=1e-6
    )
    assert max(row["reward"] for row in first) > 0


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARM, ids=lambda act: act.__name__)
def test_the_sample_model_trains_beside_a_harmful_worker(
    harm: Any, built: Built, tmp_path: Path
) -> None:
    """Every answer has its right score or none; the share of those without is logged."""
    changes = ("trainer.max_completion_length=32", "train.max_prompt_tokens=1024")
    with harmful(harm) as bad, worker() as good:
        settings = small("sample-base", *changes, f'train.reward_urls=["{bad}", "{good}"]')
        plan, table, config = planned(built.copy(tmp_path / "store"), settings, tmp_path / "work")
        quick = RetryPolicy(seconds=0.5, total=5.0, tries=3, pause=0.01, failures=2, rest=0.1)
        served = partial(RemoteReward, settings.train.reward_urls, policy=quick)
        session = grpo.prepare(plan, table, config, reward=served)
        with plan.store.lease():
            session.fit(NoProgress())
    assert session.steps == 3
    assert session.rollouts is not None
    examples = {row["example_id"]: row for row in table.to_pylist()}
    rows = session.rollouts.table(session.steps).to_pylist()
    unscored = 0
    for row in rows:
        if row["reward"] is None:
            unscored += 1
            continue
        rules = score(
            row["completion"], examples[row["example_id"]], "strict", session.plan.reader.convention
        )
        assert row["reward"] == pytest.approx(rules.total, abs=1e-6)
    shares = [logs["unscored"] for logs in session.history if "unscored" in logs]
    assert sum(shares) / len(shares) == pytest.approx(unscored / len(rows))
    assert unscored < len(rows), "the good worker scored some"

"""Training as a program: killed, on a full disk, on two processes."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.local.access import is_free
from repic.pipeline.progress import NoProgress
from repic.training import grpo
from repic.training.trainers import complete_checkpoints
from storage import integrity
from storage.gc import gc
from storage.store import Store
from tests.builds import Built, repic, start
from tests.flows import cluster_page
from tests.ports import free_port
from tests.training.runs import PLAIN, SMALL, planned, small

pytestmark = pytest.mark.slow

STEPS = 10

WITHOUT_GPUS = "--mixed_precision=no"
"""What a configuration leaves to GPUs, besides `trainer.use_cpu`."""


def arguments(store: Path, model: str, *overrides: str) -> list[str]:
    changes = [*SMALL, f"trainer.max_steps={STEPS}", *overrides]
    options = ["--profile", PLAIN, "--model", model, "--store", str(store)]
    return ["train", *options, *(f"--set={change}" for change in changes)]


def until(ready: Callable[[], object], running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
    while not ready() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.timeout(1800)
def test_a_killed_run_goes_on_where_it_was(built: Built, tiny: str, tmp_path: Path) -> None:
    """After two SIGKILLs, one in a checkpoint, the result equals that of an uninterrupted run."""
    ruler = built.copy(tmp_path / "ruler")
    done = repic(*arguments(tmp_path / "ruler", tiny), timeout=600)
    assert done.returncode == 0, done.stderr
    store = built.copy(tmp_path / "store")
    work = tmp_path / "store" / "unfinished"
    for wanted in ("*/trainer/checkpoint-4/complete", "*/trainer/checkpoint-8/*"):
        running = start(arguments(tmp_path / "store", tiny))
        until(lambda wanted=wanted: list(work.glob(wanted)), running)  # type: ignore[misc]
        running.send_signal(signal.SIGKILL)
        running.communicate()
        assert running.returncode == -signal.SIGKILL
        assert integrity.verify(store) == []
        assert store.names() == built.store.names()
        garbage = gc(store, delete=True)
        assert garbage.deleted
        assert [(u.job.what.split()[0], u.forgotten) for u in garbage.unfinished] == [
            ("GRPO", False)
        ]
    [folder] = work.iterdir()
    assert complete_checkpoints(folder / "trainer")
    done = repic(*arguments(tmp_path / "store", tiny), timeout=600)
    assert done.returncode == 0, done.stderr
    assert "resuming from step" in done.stderr
    assert store.versions("checkpoint") == [1]
    assert store.versions("rollouts") == [1]
    assert integrity.verify(store) == []
    assert list(work.iterdir()) == []
    assert shown(store) == shown(ruler)
    assert store.read("rollouts@latest").num_rows == 4 * STEPS


def shown(store: Store) -> list[tuple[Any, ...]]:
    rows = store.read("rollouts@latest").to_pylist()
    return [(r["step"], r["sample"], r["example_id"], r["completion"]) for r in rows]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_keeps_the_previous_checkpoint(
    built: Built, tiny: str, tmp_path: Path, small_disk: Path
) -> None:
    asked = small(tiny, "trainer.max_steps=6")
    plan, table, config = planned(built.copy(tmp_path / "store"), asked, small_disk)
    session = grpo.prepare(plan, table, config)

    class Fills(NoProgress):
        def step(self, number: int, logs: dict[str, Any]) -> None:
            if number == 3:
                free = shutil.disk_usage(small_disk).free
                (small_disk / "filler").write_bytes(bytes(max(0, free - 50_000)))

    with plan.store.lease():
        session.fit(Fills())
    assert session.steps == 6
    assert [path.name for path in complete_checkpoints(plan.output)] == ["checkpoint-2"]
    (small_disk / "filler").unlink()
    again = grpo.prepare(plan, table, config)
    with plan.store.lease():
        again.fit(NoProgress())
    assert (again.resumed, again.steps) == (2, 6)


def launched(store: Path, name: str, options: str, *overrides: str) -> None:
    """Train the sample model as docs/cluster.md says, with a configuration of ours."""
    ours = {
        "eight_gpus_ddp": name,
        " -m repic.cli": f" {WITHOUT_GPUS} {options} -m repic.cli",
        "train --profile paper --store /data/store": shlex.join(
            arguments(store, "sample-base", *overrides)
        ),
    }
    command = cluster_page.line("accelerate launch", ours)
    assert not {"/data/store", "paper"} & set(command.split())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_groups_are_whole_on_two_processes(built: Built, tmp_path: Path) -> None:
    """Four answers per prompt, two per process: every group straddles both."""
    store = built.copy(tmp_path / "store")
    changes = ("per_device_train_batch_size=2", "max_steps=3", "ddp_backend=gloo")
    options = f"--num_processes=2 --main_process_port={free_port()}"
    launched(
        *(tmp_path / "store", "eight_gpus_ddp", options),
        *(f"trainer.{change}" for change in changes),
    )
    rows = store.read("rollouts@latest").to_pylist()
    assert len(rows) == 3 * 4
    groups: dict[tuple[int, int], set[str]] = {}
    for row in rows:
        groups.setdefault((row["step"], row["group"]), set()).add(row["example_id"])
    assert all(len(ids) == 1 for ids in groups.values())
    assert len({id_ for ids in groups.values() for id_ in ids}) == 3
    assert len({row["completion"] for row in rows}) > 3, "processes sample with seeds of their own"
    assert store.versions("checkpoint") == [1]


def test_one_process_by_accelerate(built: Built, tmp_path: Path) -> None:
    store = built.copy(tmp_path / "store")
    quick = ("trainer.max_steps=1", "train.measure.per_objective=0")
    launched(tmp_path / "store", "one_gpu", "--cpu", *quick)
    assert store.manifest("checkpoint@v1").notes["steps"] == 1


@pytest.mark.timeout(900)
def test_a_killed_reward_server_does_not_end_a_run(built: Built, tiny: str, tmp_path: Path) -> None:
    store, port = built.copy(tmp_path / "store"), free_port()
    server = start(["reward", "serve", "--port", str(port)], start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    until(lambda: not is_free(port), server)
    lines: list[str] = []
    running = start([*arguments(tmp_path / "store", tiny), "--reward-url", url])
    assert running.stderr is not None
    try:
        for line in running.stderr:
            lines.append(line)
            if line.startswith("step 1:"):
                os.killpg(server.pid, signal.SIGKILL)
        printed = running.communicate()[0]
    finally:
        running.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.communicate()
    assert running.returncode == 0, lines
    assert not any("Traceback" in line for line in lines)
    assert "checkpoint@v1" in printed
    rows = store.read("rollouts@latest").to_pylist()
    by_step = {row["step"]: row["reward"] for row in rows}
    assert len(by_step) == STEPS
    assert by_step[STEPS] is None
    assert any(row["reward"] is not None for row in rows if row["step"] == 1)
    warnings = store.manifest("checkpoint@latest").notes["warnings"]
    assert any("reward workers" in warning for warning in warnings)

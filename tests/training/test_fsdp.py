"""FSDP2: two processes (gloo), each with a part of the weights, publish what one process would."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from accelerate.utils.launch import prepare_multi_gpu_env

from repic.models.vlm import checkpoints
from repic.rewards.held_out import Measured
from repic.training.run import train
from storage.store import Store
from tests.builds import Built
from tests.ports import free_port
from tests.training.runs import PLAIN, SMALL, small
from tests.training.test_accelerate import launched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENCE = 900.0
RATE = ("trainer.learning_rate=0.02", "trainer.max_steps=3", "trainer.save_steps=1")
WHOLE = "trainer.per_device_train_batch_size=4"
HALF = ("trainer.per_device_train_batch_size=2", "trainer.ddp_backend=gloo")
"""Half of the batch for each of two processes; both do the same update as one with all of it."""
OF_GRPO = ("num_generations", "max_completion_length")

Weights = Mapping[str, torch.Tensor]


def command(store: Path, model: str, method: str, tune: str) -> str:
    kept = [s for s in SMALL if method == "grpo" or not any(name in s for name in OF_GRPO)]
    changes = [*kept, *RATE, *HALF, f"train.tune={tune}", f"train.method={method}"]
    options = ["--profile", PLAIN, "--model", model, "--store", str(store)]
    return shlex.join(["train", *options, *(f"--set={change}" for change in changes)])


@contextmanager
def started(log: Path, *commands: str) -> Iterator[subprocess.Popen[bytes]]:
    """Two processes that divide the weights as our configuration says."""
    asked = launched("eight_gpus_fsdp2")
    asked.num_processes, asked.mixed_precision = 2, "no"
    env = {name: str(value) for name, value in prepare_multi_gpu_env(asked).items()}
    place = ("--nproc_per_node=2", f"--master_port={free_port()}")
    words = [*("-m", "torch.distributed.run", *place), *("-m", "tests.training.fsdp_on_cpu")]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *words, *commands],
            env={**os.environ, **env},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def done(log: Path, *commands: str) -> str:
    """Run commands to their end; what they printed."""
    with started(log, *commands) as process:
        assert process.wait(PATIENCE) == 0, log.read_text()[-6000:]
    return log.read_text()


def published(store: Store) -> Weights:
    """All weights of the checkpoint, as the rest of repic opens it."""
    return dict(checkpoints.open_checkpoint(store, "checkpoint@v1").model.named_parameters())


def assert_alike(divided: Weights, whole: Weights) -> None:
    assert divided.keys() == whole.keys()
    for name, weight in whole.items():
        torch.testing.assert_close(divided[name], weight, msg=lambda m, n=name: f"{n}: {m}")


def alone(built: Built, tiny: str, folder: Path, tune: str) -> Store:
    """The same run in one process, which has the weights as a whole."""
    store = built.copy(folder)
    assert train(small(tiny, *RATE, WHOLE, f"train.tune={tune}", method="sft"), store)
    return store


def test_adapters_are_gathered(built: Built, tiny: str, tmp_path: Path) -> None:
    store, sampled = built.copy(tmp_path / "sft"), built.copy(tmp_path / "grpo")
    printed = done(
        tmp_path / "log",
        command(tmp_path / "sft", tiny, "sft", "lora"),
        command(tmp_path / "grpo", tiny, "grpo", "lora"),
    )
    parts = re.findall(r"divided: (\d+) of (\d+) weights", printed)
    assert len(parts) == 2 * 2
    assert all(int(here) < 0.6 * int(whole) for here, whole in parts)

    whole = alone(built, tiny, tmp_path / "alone", "lora")
    assert_alike(published(store), published(whole))
    moved = [weight for name, weight in published(store).items() if ".lora_B." in name]
    assert all(bool(weight.any()) for weight in moved), "every layer has learned"
    assert measured(store) == measured(whole)

    rows = sampled.read("rollouts@latest").to_pylist()
    assert [row["step"] for row in rows] == [step for step in (1, 2, 3) for _ in range(4)]
    for step in (1, 2, 3):
        assert len({row["example_id"] for row in rows if row["step"] == step}) == 1
    assert published(sampled).keys() == published(store).keys()
    said = checkpoints.export(sampled, "checkpoint@v1", tmp_path / "merged", merged=True)
    assert "merged in float32" in said


def test_all_weights_are_gathered_also_after_a_kill(
    built: Built, tiny: str, tmp_path: Path
) -> None:
    store, log = built.copy(tmp_path / "sft"), tmp_path / "log"
    words = command(tmp_path / "sft", tiny, "sft", "full")
    unfinished = tmp_path / "sft" / "unfinished"
    deadline = time.monotonic() + PATIENCE
    with started(log, words) as process:
        while not list(unfinished.glob("*/trainer/checkpoint-1/complete")):
            assert process.poll() is None, log.read_text()[-6000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert "checkpoint" not in store.names()
    assert "resuming from step" in done(log, words)
    whole = alone(built, tiny, tmp_path / "alone", "full")
    assert_alike(published(store), published(whole))
    assert measured(store) == measured(whole)


def measured(store: Store) -> list[tuple[str, str]]:
    """Greedy answers before training."""
    [file] = [f for f in store.manifest("checkpoint@v1").files if f.name == "measured.json"]
    before = Measured.from_json(json.loads(store.files.read(file.path))["before"])
    return [(answer.example_id, answer.completion) for answer in before.greedy]

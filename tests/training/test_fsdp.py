"""FSDP2: two processes (gloo), each with a part of the weights, publish what two whole ones do."""

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
from typing import Any

import pytest
import torch

from repic.models.vlm import checkpoints, load
from storage.store import Store
from tests.builds import Built
from tests.ports import free_port
from tests.random_vlms import qwen2_5_vl_folder
from tests.training.runs import PLAIN, SMALL
from tests.training.test_accelerate import FOLDER
from tests.training.test_whole_runs import WITHOUT_GPUS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENCE = 900.0
CHANGES = (
    *("trainer.learning_rate=0.02", "trainer.max_steps=3", "trainer.save_steps=1"),
    "trainer.adam_epsilon=1",  # a small one makes large steps of the rounding of tiny gradients
    *("trainer.per_device_train_batch_size=2", "trainer.ddp_backend=gloo"),
)
OF_GRPO = ("num_generations", "max_completion_length")

Weights = Mapping[str, torch.Tensor]


def command(store: Store, model: str, *options: str) -> str:
    """`repic train`, for one argument of `fsdp_on_cpu`."""
    kept = [s for s in SMALL if "sft" not in options or not any(name in s for name in OF_GRPO)]
    where = ["--profile", PLAIN, "--model", model, "--store", store.files.root, *options]
    return shlex.join(["train", *where, *(f"--set={change}" for change in [*kept, *CHANGES])])


@contextmanager
def started(log: Path, configuration: str, *commands: str) -> Iterator[subprocess.Popen[bytes]]:
    """Two processes by `accelerate launch` with a configuration of ours."""
    words = [
        *(sys.executable, "-m", "accelerate.commands.launch", WITHOUT_GPUS),
        *("--config_file", str(FOLDER / f"{configuration}.yaml"), "--num_processes=2"),
        *(f"--main_process_port={free_port()}", "-m", "tests.training.fsdp_on_cpu", *commands),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()  # it ends its processes
        process.wait()


def done(log: Path, configuration: str, *commands: str) -> str:
    """Run commands to their end; what they printed."""
    with started(log, configuration, *commands) as process:
        assert process.wait(PATIENCE) == 0, log.read_text()[-6000:]
    return log.read_text()


def killed(log: Path, configuration: str, command: str, folder: Path, pattern: str) -> None:
    """Kill the processes of a run when a folder has a path like a pattern."""
    deadline = time.monotonic() + PATIENCE
    with started(log, configuration, command) as process:
        while not list(folder.glob(pattern)):
            assert process.poll() is None, log.read_text()[-6000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for pid in re.findall(r"process (\d+)", log.read_text()):
            os.kill(int(pid), signal.SIGKILL)
        assert process.wait(PATIENCE) != 0


def learned(store: Store, model: str) -> Weights:
    """How far training moved each weight, in the checkpoint as the rest of repic opens it."""
    weights = dict(checkpoints.open_checkpoint(store, "checkpoint@v1").model.named_parameters())
    if adapter := {name: weight for name, weight in weights.items() if ".lora_B." in name}:
        return adapter  # starts at 0
    start = dict(load.load(load.reader(model, "auto")).named_parameters())
    return {name: weight - start[name] for name, weight in weights.items()}


def rollouts(store: Store) -> list[tuple[Any, ...]]:
    rows = store.read("rollouts@latest").to_pylist()
    return [(r["step"], r["sample"], r["example_id"], r["completion"]) for r in rows]


def measured(store: Store) -> dict[str, Any]:
    """Answers before and after training."""
    [file] = [f for f in store.manifest("checkpoint@v1").files if f.name == "measured.json"]
    return json.loads(store.files.read(file.path))


@torch.no_grad()
def assert_alike(divided: Weights, whole: Weights) -> None:
    """Differences are small beside what was learned."""
    assert divided.keys() == whole.keys()
    for name, weight in whole.items():
        error = float((divided[name] - weight).norm())
        assert error <= 0.01 * float(weight.norm()) + 1e-6, (name, error, float(weight.norm()))
    assert sum(float(weight.norm()) > 1e-4 for weight in whole.values()) > 10


def test_divided_weights_learn_the_same(built: Built, tmp_path: Path) -> None:
    """GRPO of an adapter, killed and resumed; and of all weights, where the head has its own."""
    untied = qwen2_5_vl_folder(tmp_path / "untied", tied=False)
    stores = {
        name: built.copy(tmp_path / name) for name in ("lora", "lora-ddp", "full", "full-ddp")
    }
    lora = ("--set=train.shares={oct: 1}", "--set=trainer.temperature=2.5")  # rewards differ
    full = ("--method", "sft", "--set=train.tune=full")
    log = tmp_path / "log"
    asked = command(stores["lora"], "sample-base", *lora)
    unfinished = tmp_path / "lora" / "unfinished"
    killed(log, "eight_gpus_fsdp2", asked, unfinished, "*/trainer/checkpoint-2")
    assert "checkpoint" not in stores["lora"].names()
    printed = done(log, "eight_gpus_fsdp2", asked, command(stores["full"], untied, *full))
    assert "resuming from step" in printed
    parts = re.findall(r"divided: (\d+) of (\d+) weights", printed)
    assert parts
    assert all(int(here) < 0.6 * int(whole) for here, whole in parts)
    done(
        *(log, "eight_gpus_ddp", command(stores["lora-ddp"], "sample-base", *lora)),
        command(stores["full-ddp"], untied, *full),
    )
    assert rollouts(stores["lora"]) == rollouts(stores["lora-ddp"])
    for name, model in (("lora", "sample-base"), ("full", untied)):
        alike = (stores[name], stores[f"{name}-ddp"])
        assert_alike(*(learned(store, model) for store in alike))
        assert measured(alike[0]) == measured(alike[1])

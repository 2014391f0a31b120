"""The commands of TRL train a step on an export, with a tiny model on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repic.export.target import ExportOptions
from repic.models.vlm import load
from tests.builds import Built
from tests.environments import ROOT
from tests.export.reading import exported
from tests.trained import tiny

__all__ = ["tiny"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
COMMON = (
    *("--max_steps", "1", "--per_device_train_batch_size", "2", "--report_to", "none"),
    *("--use_cpu", "true", "--bf16", "false", "--gradient_checkpointing", "false"),
    *("--logging_steps", "1", "--learning_rate", "1e-3", "--dtype", "float32"),
)
WAYS = {
    "grpo": (
        *("--reward_funcs", "repic.rewards.in_process.reward", "--num_generations", "2"),
        *("--max_completion_length", "8"),
    ),
    "sft": ("--dataset_config", "sft", "--max_length", "2048"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_step(way: str, built: Built, tiny: str, tmp_path: Path) -> None:
    options = ExportOptions(load.reader(tiny).convention)
    exported(built.store, "trl", tmp_path / "F", options)
    log = _train(way, tiny, tmp_path)
    (step,) = (entry for entry in log if "loss" in entry)
    assert step["step"] == 1
    if way == "grpo":
        assert 0 <= step["rewards/reward/mean"] <= 1
    else:
        assert step["loss"] > 0


def _train(way: str, model: str, folder: Path) -> list[dict[str, Any]]:
    """Run `trl`; the log of its trainer."""
    command = (
        *(str(Path(sys.executable).with_name("trl")), way, "--dataset_name", str(folder / "F")),
        *("--model_name_or_path", model, "--output_dir", str(folder / "out")),
        *("--save_steps", "1", *COMMON, *WAYS[way]),
    )
    environment = {**os.environ, "HF_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    state = next((folder / "out").glob("checkpoint-1/trainer_state.json"))
    log: list[dict[str, Any]] = json.loads(state.read_text(encoding="utf-8"))["log_history"]
    return log

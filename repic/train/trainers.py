"""TRL's trainers with three additions: rollouts, whole checkpoints, and a full disk survived."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOTrainer, SFTTrainer

from repic.train.reward import EXTRA
from storage.errors import FULL

log = logging.getLogger(__name__)

PROBE = 1 << 20
"""Bytes that a disk must still take not to be full."""
COMPLETE = "complete"
"""File of a trainer's checkpoint that is written last."""


def whole_checkpoints(output: Path) -> list[Path]:
    """Checkpoints of a trainer that were written to their end, the oldest first."""
    found = [path.parent for path in output.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{COMPLETE}")]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def discard_torn(output: Path) -> None:
    """Remove checkpoints in whose writing the process died."""
    whole = set(whole_checkpoints(output))
    for path in output.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)


class MarkComplete(TrainerCallback):
    """Marks each checkpoint as whole, after all of it is on the disk."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            for path in folder.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            (folder / COMPLETE).touch()


class _Saves:
    """What both trainers do with a checkpoint that cannot be written."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As the trainer's; where the disk is full, the previous one stays and training goes on."""
        state: Any = self.state  # type: ignore[attr-defined]
        args: Any = self.args  # type: ignore[attr-defined]
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
        except Exception as error:  # safetensors and torch wrap what the disk said
            if not is_full(error, folder):
                raise
            shutil.rmtree(folder, ignore_errors=True)
            log.error(
                "no space for the checkpoint of step %d: the previous one stays, training goes on; "
                "free some space before the next one",
                state.global_step,
            )


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether an error of writing is one of space: it says so, or a small file does not fit.

    torch says of a full disk only that its stream broke.
    """
    if "no space left" in str(error).lower():
        return True
    probe = folder.parent / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(PROBE))
    except OSError as full:
        return full.errno in FULL
    finally:
        probe.unlink(missing_ok=True)
    return False


class Grpo(_Saves, GRPOTrainer):
    """TRL's GRPO trainer that hands on what was sampled.

    `keep` is called on the main process with the step and its records, advantages included.
    """

    keep: Callable[[int, list[dict[str, Any]]], None] | None = None

    @property
    def training(self) -> bool:
        """Whether the model is learning, not being evaluated."""
        model: Any = self.model
        return bool(model.training)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if self.keep and self.training and self.accelerator.is_main_process:
            logs: Any = self._logs
            advantages, records = list(logs["advantages"]), list(logs["extra"][EXTRA])
            kept = [
                {**record, "advantage": advantage}
                for record, advantage in zip(records, advantages, strict=True)
            ]
            self.keep(self.state.global_step + 1, kept)
        return output


class Sft(_Saves, SFTTrainer):
    """TRL's SFT trainer."""

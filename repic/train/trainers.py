"""TRL's trainers with what a run here needs: rollouts, whole checkpoints, a full disk survived,
and on a CPU nothing computed that nobody reads."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOTrainer, SFTTrainer

from repic.models.vlm.cpu_speedups import Rows, Trimmed, answers_only, looking_once, merged, parts
from repic.train.reward import EXTRA
from repic.train.rollouts import Rollouts
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


def sampled(checkpoint: Path) -> set[int]:
    """Steps whose answers were kept when a checkpoint was written; going on from it needs them."""
    return set(json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8") or "[]"))


class MarkComplete(TrainerCallback):
    """Marks each checkpoint as whole, after all of it is on the disk; says what was sampled."""

    def __init__(self, rollouts: Rollouts | None = None) -> None:
        self.rollouts = rollouts

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            for path in folder.rglob("*"):  # DeepSpeed writes folders in it
                if path.is_file():
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
            steps = sorted(self.rollouts.steps) if self.rollouts else []
            marker = folder / f".{COMPLETE}"
            marker.write_text(
                json.dumps([s for s in steps if s <= state.global_step]), encoding="utf-8"
            )
            marker.replace(folder / COMPLETE)


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

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As the trainer's; the vision tower is frozen."""
        with looking_once(self.accelerator.unwrap_model(self.model).get_base_model()):
            return super().train(*args, **kwargs)

    @property
    def training(self) -> bool:
        """Whether the model is learning, not being evaluated."""
        model: Any = self.model
        return bool(model.training)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **fields: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """As TRL's, on a CPU with answers of like lengths together: see `cpu_speedups`."""
        inner = super()._get_per_token_logps_and_entropies
        rows = Rows(fields)
        if input_ids.device.type != "cpu" or compute_aux_loss or not rows.separable:
            return inner(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **fields,
            )
        places = parts(attention_mask.sum(1).tolist())
        with answers_only():
            found = [
                inner(
                    Trimmed(model),
                    input_ids[part],
                    attention_mask[part],
                    logits_to_keep,
                    None,
                    compute_entropy,
                    **rows.of(part),
                )
                for part in places
            ]
        back = torch.tensor([place for part in places for place in part]).argsort()
        logps = torch.cat([part[0] for part in found])[back]
        entropies = torch.cat([part[1] for part in found])[back] if compute_entropy else None
        return logps, entropies, None

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        model: Any = self.accelerator.unwrap_model(self.model)
        with merged(model) if model.device.type == "cpu" else contextlib.nullcontext():
            return super()._generate_single_turn(*args, **kwargs)

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

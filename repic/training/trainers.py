"""TRL's trainers, extended: rollouts, complete checkpoints, survival of a full disk, and no
superfluous computation on a CPU.

`tests/training/test_trl_names.py` lists the private methods of TRL that are overridden here.
"""

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
from accelerate import PartialState
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOTrainer, SFTTrainer

from repic.models.vlm.cpu_speedups import (
    BatchFields,
    TrimmedModel,
    cached_image_features,
    completion_logits_only,
    groups_by_length,
    is_on_cpu,
    merged_adapters,
)
from repic.models.vlm.shared_prompts import (
    SharedPromptModel,
    can_share,
    prompt_groups,
    sampled_in_groups,
    whole_groups,
)
from repic.training import sharding
from repic.training.reward import RECORDS
from repic.training.rollouts import Rollouts
from storage.errors import NO_SPACE

log = logging.getLogger(__name__)

PROBE = 1 << 20
"""Bytes of a test file: a disk that cannot take them is full."""
COMPLETE = "complete"
"""File of a checkpoint that is written last."""


def complete_checkpoints(output: Path) -> list[Path]:
    """Folders of a trainer's complete checkpoints, the oldest first."""
    folders = [path.parent for path in output.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{COMPLETE}")]
    return sorted(folders, key=lambda path: int(path.name.rpartition("-")[2]))


def discard_incomplete(output: Path) -> None:
    """Delete checkpoints that were not completely written."""
    complete = set(complete_checkpoints(output))
    for path in output.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if path not in complete:
            shutil.rmtree(path, ignore_errors=True)


def sampled_steps(checkpoint: Path) -> set[int]:
    """Steps whose answers were kept before a checkpoint; resuming from it needs all of them."""
    return set(json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8") or "[]"))


class MarkComplete(TrainerCallback):
    """Marks a checkpoint as complete when it is on disk, and lists the steps sampled so far."""

    def __init__(self, rollouts: Rollouts | None = None) -> None:
        self.rollouts = rollouts

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        PartialState().wait_for_everyone()  # each process writes a file
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            for path in folder.rglob("*"):  # DeepSpeed writes subfolders
                if path.is_file():
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
            steps = sorted(self.rollouts.steps) if self.rollouts else []
            marker = folder / f".{COMPLETE}"
            marker.write_text(
                json.dumps([s for s in steps if s <= state.global_step]), encoding="utf-8"
            )
            marker.replace(folder / COMPLETE)


class _FullDiskMixin:
    """Lets a trainer continue when a checkpoint does not fit on the disk."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save; if the disk is full, keep the previous checkpoint and continue to train."""
        state: Any = self.state  # type: ignore[attr-defined]
        args: Any = self.args  # type: ignore[attr-defined]
        accelerator: Any = self.accelerator  # type: ignore[attr-defined]
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
        except Exception as error:  # safetensors and torch wrap the OSError
            # Other processes wait for the weights that this one no longer gathers.
            if accelerator.is_fsdp2 or not _is_disk_full(error, folder):
                raise
            shutil.rmtree(folder, ignore_errors=True)
            log.error(
                "no space for the checkpoint of step %d: the previous one stays, training "
                "continues; free some space before the next one",
                state.global_step,
            )


def _is_disk_full(error: BaseException, folder: Path) -> bool:
    """Whether an error of writing is due to space: it says so, or a small file does not fit.

    On a full disk, torch reports only a failed stream.
    """
    if "no space left" in str(error).lower():
        return True
    probe = folder.parent / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(bytes(PROBE))
    except OSError as full:
        return full.errno in NO_SPACE
    finally:
        probe.unlink(missing_ok=True)
    return False


class _DividedMixin:
    """Trains with weights that FSDP2 divides; see `sharding`.

    Attributes:
        on_divided: Called when the weights are divided, before those of a checkpoint are read.
    """

    on_divided: Callable[[], None] | None = None

    def _prepare_for_training(
        self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None
    ) -> Any:
        trainer: Any = self
        inner = super()._prepare_for_training  # type: ignore[misc]
        if not trainer.accelerator.is_fsdp2:
            return inner(max_steps, train_dataloader, resume_from_checkpoint)
        prepared = inner(max_steps, train_dataloader, None)
        if self.on_divided:
            self.on_divided()
        sharding.release(trainer.model)
        if resume_from_checkpoint is not None:
            trainer._load_from_checkpoint(resume_from_checkpoint, trainer.model_wrapped)
            trainer._load_optimizer_and_scheduler(resume_from_checkpoint)
            trainer._load_scaler(resume_from_checkpoint)
        return prepared


class RepicGRPOTrainer(_FullDiskMixin, _DividedMixin, GRPOTrainer):
    """TRL's GRPO trainer that passes on its rollouts.

    Attributes:
        on_rollouts: Called on the main process with the step and its records and advantages.
    """

    on_rollouts: Callable[[int, list[dict[str, Any]]], None] | None = None

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; the frozen vision tower encodes each picture once."""
        with cached_image_features(self.accelerator.unwrap_model(self.model)):
            return super().train(*args, **kwargs)

    @property
    def training(self) -> bool:
        """Whether the model is in training mode, not in evaluation."""
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
        """TRL's computation; on a CPU, answers of similar length share a batch (`cpu_speedups`)."""
        inner = super()._get_per_token_logps_and_entropies
        rows = BatchFields(fields)
        if not is_on_cpu(model) or compute_aux_loss or not rows.separable:
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
        batches = self._batches(model, input_ids, attention_mask, logits_to_keep, rows)
        with completion_logits_only():
            results = [
                inner(
                    reduced,
                    input_ids[batch],
                    attention_mask[batch],
                    logits_to_keep,
                    None,
                    compute_entropy,
                    **rows.select(batch),
                )
                for reduced, batch in batches
            ]
        back = torch.tensor([index for _, batch in batches for index in batch]).argsort()
        logps = torch.cat([logps for logps, _, _ in results])[back]
        entropies = (
            torch.cat([entropy for _, entropy, _ in results])[back] if compute_entropy else None
        )
        return logps, entropies, None

    def _batches(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        rows: BatchFields,
    ) -> list[tuple[Any, list[int]]]:
        """A model for each batch of rows: those of a prompt, or those of similar length."""
        if can_share(model):
            prompts = slice(None, -logits_to_keep)
            groups = prompt_groups(input_ids[:, prompts], attention_mask[:, prompts], rows)
            return [(SharedPromptModel(model, logits_to_keep), group) for group in groups]
        lengths = attention_mask.sum(1).tolist()
        return [(TrimmedModel(model), batch) for batch in groups_by_length(lengths)]

    def _generate_single_turn(self, prompt_ids: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's sampling; on a CPU with merged adapters, and one reading of each prompt."""
        model: Any = self.accelerator.unwrap_model(self.model)
        if not is_on_cpu(model):
            return super()._generate_single_turn(prompt_ids, images, *args, **kwargs)
        with merged_adapters(model), sampled_in_groups(model, images, self.eos_token_ids):
            return super()._generate_single_turn(prompt_ids, images, *args, **kwargs)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """TRL's batches; answers of a prompt stay together where this cannot change the update."""
        with whole_groups() if self._sums_over_answers else contextlib.nullcontext():
            return super()._prepare_inputs(generation_batch)

    @property
    def _sums_over_answers(self) -> bool:
        """Whether the update is a sum over answers, however they are divided into batches."""
        args: Any = self.args
        return bool(
            args.steps_per_generation == args.gradient_accumulation_steps
            and self.loss_type != "bnpo"
            and self.top_entropy_quantile == 1
            and not self._entropy_bonus_enabled
            and can_share(self.accelerator.unwrap_model(self.model))
        )

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if self.on_rollouts and self.training and self.accelerator.is_main_process:
            logs: Any = self._logs
            advantages, records = list(logs["advantages"]), list(logs["extra"][RECORDS])
            rollouts = [
                {**record, "advantage": advantage}
                for record, advantage in zip(records, advantages, strict=True)
            ]
            self.on_rollouts(self.state.global_step + 1, rollouts)
        return output


class RepicSFTTrainer(_FullDiskMixin, _DividedMixin, SFTTrainer):
    """TRL's SFT trainer that survives a full disk."""

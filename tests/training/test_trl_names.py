"""Private names of TRL that `repic.training.trainers` overrides or reads, one test for each."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from trl import GRPOTrainer, SFTTrainer
from trl.trainer import grpo_trainer

from repic.training import grpo
from repic.training.reward import RECORDS
from tests.builds import Built
from tests.training.runs import planned, small


def parameters(trainer: type, name: str) -> dict[str, inspect.Parameter]:
    """Parameters of a method of TRL after `self`; fails if TRL no longer has it."""
    label = f"{trainer.__name__}.{name}"
    method = getattr(trainer, name, None)
    if method is None:
        pytest.fail(f"TRL moved {label}: adapt repic/training/trainers.py, then the range of trl")
    signature = dict(inspect.signature(method).parameters)
    del signature["self"]
    return signature


def changed(label: str, expected: Any, actual: Any) -> str:
    return (
        f"TRL changed {label}: expected {expected}, is {actual}; adapt repic/training/trainers.py"
    )


@pytest.mark.parametrize("trainer", [GRPOTrainer, SFTTrainer])
def test_save_checkpoint(trainer: type) -> None:
    expected = ["model", "trial"]
    names = list(parameters(trainer, "_save_checkpoint"))
    assert names == expected, changed(f"{trainer.__name__}._save_checkpoint", expected, names)


@pytest.mark.parametrize("trainer", [GRPOTrainer, SFTTrainer])
def test_prepare_for_training(trainer: type) -> None:
    expected = ["max_steps", "train_dataloader", "resume_from_checkpoint"]
    names = list(parameters(trainer, "_prepare_for_training"))
    assert names == expected, changed(f"{trainer.__name__}._prepare_for_training", expected, names)
    for name, first in (
        ("_load_from_checkpoint", ["resume_from_checkpoint", "model"]),
        ("_load_optimizer_and_scheduler", ["checkpoint"]),
        ("_load_scaler", ["checkpoint"]),
    ):
        names = list(parameters(trainer, name))
        assert names == first, changed(f"{trainer.__name__}.{name}", first, names)


def test_get_per_token_logps_and_entropies() -> None:
    name = "_get_per_token_logps_and_entropies"
    found = parameters(GRPOTrainer, name)
    expected = [
        *("model", "input_ids", "attention_mask", "logits_to_keep"),
        *("batch_size", "compute_entropy", "compute_aux_loss"),
    ]
    positional = list(found)[: len(expected)]
    label = f"GRPOTrainer.{name}"
    assert positional == expected, changed(label, expected, positional)
    fields = {"pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask"}
    assert fields <= set(found), changed(label, sorted(fields), list(found))


def test_generate_single_turn() -> None:
    names = list(parameters(GRPOTrainer, "_generate_single_turn"))
    expected = ["prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images"]
    assert names == expected, changed("GRPOTrainer._generate_single_turn", expected, names)


def test_prepare_inputs() -> None:
    names = list(parameters(GRPOTrainer, "_prepare_inputs"))
    assert names == ["generation_batch"], changed(
        "GRPOTrainer._prepare_inputs", ["generation_batch"], names
    )


def test_shuffle_of_a_generation_batch() -> None:
    names = list(inspect.signature(grpo_trainer.shuffle_sequence_dict).parameters)
    assert names == ["seq_dict"], changed("shuffle_sequence_dict", ["seq_dict"], names)


def test_generate_and_score_completions() -> None:
    names = list(parameters(GRPOTrainer, "_generate_and_score_completions"))
    label = "GRPOTrainer._generate_and_score_completions"
    assert names == ["inputs"], changed(label, ["inputs"], names)


def test_logs(built: Built, tiny: str, work: Path) -> None:
    plan, table, config = planned(built.copy(work / "store"), small(tiny), work)
    trainer: Any = grpo.prepare(plan, table, config).trainer
    logs = getattr(trainer, "_logs", None)
    if logs is None:
        pytest.fail("TRL moved GRPOTrainer._logs: adapt repic/training/trainers.py")
    label = "GRPOTrainer._logs"
    assert trainer.top_entropy_quantile == 1  # read, as the next
    assert not trainer._entropy_bonus_enabled
    assert trainer.eos_token_ids
    assert {"advantages", "extra"} <= set(logs), changed(label, "advantages, extra", list(logs))
    logs["extra"][RECORDS].extend([{"reward": 1.0}])  # as TRL's `log_extra` does
    assert list(logs["extra"][RECORDS]) == [{"reward": 1.0}]

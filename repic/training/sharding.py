"""Weights that FSDP2 divides among the processes of a run, each of which holds a part of every one.

Each forward pass gathers them, so all processes must do the same number of passes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from repic.errors import ConfigError
from repic.objectives.base import Row

REMEDY = "use `accelerate launch` with `repic train --accelerate-config eight_gpus_fsdp2`"


def is_asked() -> bool:
    """Whether `accelerate launch` asks for FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def check(trainer_fields: Any, four_bit: bool) -> None:
    """Refuse ways of FSDP in which weights would not be gathered.

    Args:
        trainer_fields: TRL's config.
        four_bit: Whether the language model is quantized.

    Raises:
        ConfigError: FSDP is asked for, but not as in our configuration.
    """
    if trainer_fields.fsdp:
        raise ConfigError(f"trainer.fsdp is not supported: {REMEDY}")
    if not is_asked():
        return
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise ConfigError(f"FSDP1 is not supported: {REMEDY}")
    if os.environ.get("FSDP_STATE_DICT_TYPE") != "FULL_STATE_DICT":
        raise ConfigError(
            "fsdp_state_dict_type must be FULL_STATE_DICT, so that checkpoints have whole weights"
        )
    if os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "").lower() == "true":
        raise ConfigError(
            "fsdp_cpu_ram_efficient_loading must be false: each process reads the weights itself"
        )
    if getattr(trainer_fields, "use_transformers_continuous_batching", False):
        raise ConfigError(
            "trainer.use_transformers_continuous_batching casts whole weights, which FSDP does not "
            "have: leave it out"
        )
    if four_bit:
        raise ConfigError(
            "train.quantize=4bit and FSDP exclude each other: 4 bits are not divided; use "
            "`repic train --accelerate-config eight_gpus_ddp`"
        )


def prepare(model: Any) -> None:
    """Make a transformers model ready for weights that accelerate will divide.

    `generate` then does passes in each process until the last one has its answers: transformers
    knows by the attribute that it must. TRL reads the weights of the head outside of its forward
    pass and, if they are divided, leaves out their gradients of other processes; so each pass
    gathers them before.
    """
    from torch.distributed.fsdp import FSDPModule

    model._is_fsdp_managed_module = True

    def gather_head(*_: Any) -> None:
        head = model.get_output_embeddings()
        if isinstance(head, FSDPModule):
            head.unshard()

    model.register_forward_pre_hook(gather_head)


def all_finite(weights: Sequence[Any]) -> bool:
    """Whether no weight has NaN or infinity; of divided ones, in the parts of all processes."""
    from accelerate.utils import gather_object
    from torch.distributed.tensor import DTensor

    parts = [w.to_local() if isinstance(w, DTensor) else w for w in weights]
    finite = all(bool(part.isfinite().all()) for part in parts)
    if any(isinstance(weight, DTensor) for weight in weights):
        return all(gather_object([finite]))
    return finite


def release(model: Any) -> None:
    """Free the whole weights that passes without gradients leave behind."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole_weights(model: Any) -> dict[str, Any]:
    """The trained weights by name, gathered in the memory of the main process; all others get none.

    Every process must call this. Of a model with an adapter, only the adapter is gathered.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    release(model)
    options = StateDictOptions(
        full_state_dict=True, cpu_offload=True, ignore_frozen_params=hasattr(model, "peft_config")
    )
    return dict(get_model_state_dict(model, options=options))


def equal_share(rows: Sequence[Row], rank: int, processes: int) -> list[Row]:
    """The rows of a process, as many as any other has: some appear in two processes."""
    return [rows[(rank + start) % len(rows)] for start in range(0, len(rows), processes)]

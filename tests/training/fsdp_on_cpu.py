"""`repic` with FSDP2 on processors: torch divides weights there, accelerate only those of GPUs.

Replaced are that limit, and the speedups of processors, which are not for divided weights. All else
is as on GPUs: accelerate divides, TRL trains, RePIC measures, gathers and publishes. Each argument
is a command, such as "train --store ...".
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor
from trl import GRPOTrainer

from repic.cli import app
from repic.models.vlm import cpu_speedups
from repic.training import sharding, trainers

_init = AcceleratorState.__init__
_generate_together = sharding.generate_together


def _divides(self: AcceleratorState, *args: Any, fsdp_plugin: Any = None, **fields: Any) -> None:
    is_new = not AcceleratorState._shared_state
    _init(self, *args, fsdp_plugin=fsdp_plugin, **fields)
    if is_new and fsdp_plugin is not None:
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin


def _counted(model: Any) -> None:
    """The real function, after a look that this process holds no more than its part."""
    whole = sum(weight.numel() for weight in model.parameters())
    here = sum(weight.to_local().numel() for weight in model.parameters())
    assert all(isinstance(weight, DTensor) for weight in model.parameters())
    print(f"divided: {here} of {whole} weights", flush=True)
    _generate_together(model)


@contextlib.contextmanager
def _nothing(*_: Any) -> Iterator[None]:
    yield


def main() -> None:
    """Run each command, all by the same processes."""
    AcceleratorState.__init__ = _divides  # type: ignore[method-assign]
    sharding.generate_together = _counted
    cpu_speedups.cached_image_features = _nothing
    for name in ("cached_image_features", "merged_adapters", "sampled_in_groups"):
        setattr(trainers, name, _nothing)
    trainers.can_share = lambda model: False
    for name in ("_get_per_token_logps_and_entropies",):
        setattr(trainers.RepicGRPOTrainer, name, getattr(GRPOTrainer, name))
    for command in sys.argv[1:]:
        app(shlex.split(command), standalone_mode=False)


if __name__ == "__main__":
    main()

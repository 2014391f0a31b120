"""`repic` with FSDP on processors: torch divides weights there, accelerate only those of GPUs.

Only that limit is lifted: accelerate divides, TRL trains, and RePIC measures, gathers and publishes
as on GPUs. Without FSDP nothing is changed. Each argument is a command: "train --store ...".
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from repic.cli import app
from repic.training import sharding

_init = PartialState.__init__
_release = sharding.release


def _as_on_gpus(self: PartialState, *args: Any, **fields: Any) -> None:
    _init(self, *args, **fields)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


def _counted(model: Any) -> None:
    """`release`, and a line with the numbers of weights here and in all processes."""
    _release(model)
    weights = [weight for weight in model.parameters() if isinstance(weight, DTensor)]
    assert len(weights) == len(list(model.parameters()))
    here = sum(weight.to_local().numel() for weight in weights)
    print(f"divided: {here} of {sum(weight.numel() for weight in weights)} weights", flush=True)


def main() -> None:
    """Run each command, all by the same processes."""
    print(f"process {os.getpid()}", flush=True)
    if sharding.is_asked():
        PartialState.__init__ = _as_on_gpus  # type: ignore[method-assign]
        sharding.release = _counted
    for command in sys.argv[1:]:
        app(shlex.split(command), standalone_mode=False)


if __name__ == "__main__":
    main()

"""Muon (Keller Jordan, 2024) for many small matrices, batched by shape.

Each update is approximately the orthogonal matrix nearest to the momentum, computed by five
Newton-Schulz steps and scaled to the size of an Adam update (arXiv 2502.16982). torch's Muon
updates one matrix at a time, which for small matrices takes longer than the gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5
_ADAM_SIZE = 0.2


class BatchedMuon(torch.optim.Optimizer):
    """For matrices only; embeddings, biases and gains need another optimizer."""

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of all matrices that have a gradient."""
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[torch.nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(tuple(parameter.shape), []).append(parameter)
            for shape, members in shapes.items():
                updates = []
                for parameter in members:
                    assert parameter.grad is not None
                    state = self.state[parameter]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(parameter)
                    state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                    updates.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
                size = _ADAM_SIZE * max(shape) ** 0.5 * group["lr"]
                for parameter, update in zip(
                    members, orthogonal(torch.stack(updates)), strict=True
                ):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-size)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Approximately orthogonal matrices (n, r, c): singular values are moved close to one."""
    x = matrices.to(torch.bfloat16)
    is_tall = x.shape[-2] > x.shape[-1]
    if is_tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return (x.mT if is_tall else x).to(matrices.dtype)


def optimizers(
    named: Iterable[tuple[str, torch.nn.Parameter]], rate: float, decay: float = 0.01
) -> list[torch.optim.Optimizer]:
    """BatchedMuon for the matrices of blocks and layers, AdamW for other parameters."""
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in named:
        inner = parameter.ndim == 2 and (".layers." in name or ".blocks." in name)
        (matrices if inner or ("merger.mlp" in name and parameter.ndim == 2) else others).append(
            parameter
        )
    return [
        BatchedMuon(matrices, lr=rate, weight_decay=decay),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]

"""Share of a step's gradient that is signal rather than noise.

    python benchmarks/gradient_signal.py             # half an hour; --steps 12 is quick

`sample-base` samples step after step as in training, at learning rate 0, so all gradients are of
one policy and differ only by prompts and answers. If m is their mean over all prompts and answers,
the signal share of a gradient g is |m|^2 / E|g|^2. The mean product of two different steps
estimates the numerator, the mean square of a step the denominator. Only gradients of the adapters'
second factors (lora_B) count: those of the first factors are zero while the second factors have
their initial value of zero.

Rows: each objective alone, by its strict reward; and `left`, which rewards boxes for being far
left, a behavior that all answers can share (`benchmarks/learning.py`). Intervals are 95 %,
jackknife over steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from learning import LEFT, OBJECTIVES, Leftward, training_rows
from sample_pools import build_pool
from transformers import TrainerCallback

from repic import config
from repic.models.vlm import load
from repic.objectives.rows import examples_of
from repic.pipeline.progress import NoProgress
from repic.training import grpo
from repic.training.plan import TrainingPlan
from repic.training.trainer_defaults import trainer_config
from storage.store import Store

NO_UPDATE = ("trainer.learning_rate=0", "trainer.max_grad_norm=0", "trainer.save_strategy=no")
"""No update, no gradient clipping, no checkpoint."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=48, help="gradients per reward (%(default)s)")
    every = (*OBJECTIVES, LEFT)
    parser.add_argument("--rewards", nargs="+", choices=every, default=every)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as in `repic train`"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store", create=True)
        build_pool(store, Path(folder), "train")
        print(f"{'reward':8}{'signal':>8}   95 % interval     steps until half is signal")
        for name in options.rewards:
            gradients = sampled(store, Path(folder) / name, name, options.steps, options.set)
            value, error = signal(gradients)
            low, high = value - 1.96 * error, value + 1.96 * error
            results[name] = {"signal": value, "low": low, "high": high}
            enough = f"{(1 - value) / value:.0f}" if low > 0 else "no significant signal"
            print(f"{name:8}{value:8.3f}   {low:+.3f} to {high:+.3f}   {enough}", flush=True)
    if options.json:
        print(json.dumps(results))


def sampled(store: Store, folder: Path, name: str, steps: int, changes: list[str]) -> torch.Tensor:
    """Gradients of `steps` steps with one reward, float32 (steps, numbers)."""
    objective = "vlt" if name == LEFT else name
    shares = json.dumps({o: float(o == objective) for o in OBJECTIVES})
    settings = config.load(
        "sample", [*NO_UPDATE, f"trainer.max_steps={steps}", f"train.shares={shares}", *changes]
    )
    examples = examples_of(store, "examples@latest")
    plan = TrainingPlan.create(settings, store, examples, load.reader(settings.train.model), folder)
    args: Any = trainer_config(settings, plan.output)
    session = grpo.prepare(
        plan, training_rows(plan, settings), args, Leftward if name == LEFT else None
    )
    gradients = Gradients()
    session.trainer.add_callback(gradients)
    with store.lease():
        session.fit(NoProgress())
    if session.guard.stopped:
        sys.exit(f"{name} stopped early: {session.guard.stopped}")
    return torch.stack(gradients.of_steps)


class Gradients(TrainerCallback):
    """Keeps the gradient of every step, float32 (numbers,)."""

    def __init__(self) -> None:
        self.of_steps: list[torch.Tensor] = []

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        parts = [
            part.grad.flatten()
            for name, part in model.named_parameters()
            if part.grad is not None and "lora_B" in name
        ]
        self.of_steps.append(torch.cat(parts).clone())


def signal(gradients: torch.Tensor) -> tuple[float, float]:
    """Signal share of the squared gradients, and its standard error.

    Args:
        gradients: float32 (steps, numbers).
    """
    products = (gradients @ gradients.T).double()
    steps = len(products)
    without = torch.stack(
        [_share(products[kept][:, kept]) for kept in ~torch.eye(steps, dtype=torch.bool)]
    )
    error = ((steps - 1) * without.var(correction=0)).sqrt()
    return float(_share(products)), float(error)


def _share(products: torch.Tensor) -> torch.Tensor:
    own = products.diagonal().mean()
    others = (products.sum() - products.trace()) / (len(products) * (len(products) - 1))
    return others / own


if __name__ == "__main__":
    main()

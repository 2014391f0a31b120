"""Cost of our training relative to plain TRL: same rows, model, settings and random numbers.

    python benchmarks/training_cost.py                  # claims: <= 1.05x, data < 5 %, < 4 GB
    python benchmarks/training_cost.py --model FOLDER --steps 60 --json

Two trainers alternate step by step in one process: TRL's `GRPOTrainer` on prepared rows in memory,
with a reward function of three lines; and ours, which opens pictures on demand, checks groups,
saves rollouts durably and has guards. Both get the same seed before each step and make the same
updates, so they sample the same answers, and a pair of steps differs only in our additions. The
time of a step starts at the end of the previous one, so it includes loading. The ratio is the
median over pairs; its interval is from order statistics (binomial, 95 %).

Samples per second are answers through whole steps. The parts of a step are sampling, the
log-probabilities of the reference, and the update (forward and backward passes); each has its own
ratio of medians. What remains is rewards, pictures and prompts, and the optimizer.

Loading is the share of our step that opens pictures and makes prompts. Memory is the peak of this
process with both trainers, an upper bound for ours.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from benchmarks.peak import peak_gb
from repic import config
from repic.models.vlm import load
from repic.objectives.base import Row
from repic.objectives.rows import examples_of, read
from repic.pipeline.execution import build
from repic.pipeline.progress import NoProgress
from repic.pipeline.scan import scan
from repic.rewards.scoring import score
from repic.training import grpo
from repic.training.dataset import epoch_order, prompts
from repic.training.plan import TrainingPlan
from repic.training.trainer_defaults import trainer_config
from storage.store import Store

MOST_RATIO, MOST_LOADING, MOST_MEMORY = 1.05, 0.05, 4.0
WARM = 3
"""Warm-up steps, which do not count."""
PARTS = ("sampling", "reference", "update")


class Turns:
    """Lets one of two threads run at a time: plain, ours, ours, plain, plain, ours ...

    The order alternates between pairs, so that neither trainer benefits from it.
    """

    def __init__(self, pairs: int) -> None:
        self.events = {"plain": threading.Event(), "ours": threading.Event()}
        self.seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        self.order = [
            name
            for pair in range(pairs)
            for name in (("plain", "ours") if pair % 2 == 0 else ("ours", "plain"))
        ]

    def wait(self, name: str) -> None:
        self.events[name].wait()
        self.events[name].clear()

    def hand_over(self) -> None:
        """Wake the next trainer; at the end, wake both so that they finish."""
        for name in (self.order.pop(0),) if self.order else ("plain", "ours"):
            self.events[name].set()


class TurnCallback(TrainerCallback):
    """Makes a trainer take turns; a step lasts from one `on_step_end` to the next."""

    def __init__(self, name: str, turns: Turns) -> None:
        self.name, self.turns = name, turns
        self.started = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._begin(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.turns.seconds[self.name].append(time.perf_counter() - self.started)
        self.turns.hand_over()
        if state.global_step < state.max_steps:
            self._begin(state.global_step)

    def _begin(self, step: int) -> None:
        self.turns.wait(self.name)
        torch.manual_seed(step)
        self.started = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="sample-base")
    parser.add_argument(
        "--steps", type=int, default=40, help="measured pairs of steps (%(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments.model, arguments.steps + WARM, arguments.set)
    if not arguments.json:
        print(
            f"a step of ours is {result['ratio']:.3f}x plain TRL (95 %: {result['low']:.3f} to "
            f"{result['high']:.3f}, {result['pairs']} pairs; medians {result['ours_s']:.2f} s and "
            f"{result['plain_s']:.2f} s)\n{result['samples_s']:.1f} samples/s, plain TRL "
            f"{result['plain_samples_s']:.1f}; by part: "
            + ", ".join(f"{name} {ratio:.2f}x" for name, ratio in result["parts"].items())
            + f"\nloading is {result['loading']:.2%} of a step; "
            f"peak memory {result['memory_gb']:.2f} GB; same answers in {result['alike']:.0%}"
        )
    print(json.dumps(result))
    good = (
        result["ratio"] <= MOST_RATIO
        and result["loading"] < MOST_LOADING
        and result["memory_gb"] < MOST_MEMORY
    )
    sys.exit(0 if good else 1)


def measure(folder: Path, model: str, steps: int, changes: list[str]) -> dict[str, Any]:
    store = Store.open(folder / "store", create=True)
    build_settings = config.load("sample", ("source.count=120",), detector={"kind": "annotation"})
    build(build_settings, store, scan(build_settings))
    settings = config.load(
        "sample",
        [f"trainer.max_steps={steps}", "trainer.save_strategy=no", *changes],
        train={"model": model},
    )
    examples = examples_of(store, "examples@latest")
    plan = TrainingPlan.create(settings, store, examples, load.reader(model), folder / "work")
    table = read(store, examples, "train")
    turns = Turns(steps)

    loading = Loading()
    session = grpo.prepare(plan, table, trainer_config(settings, folder / "ours"))
    loading.watch(session.trainer)
    sampled: dict[str, list[str]] = {"ours": [], "plain": []}
    kept = session.trainer.on_rollouts

    def keep(step: int, records: list[dict[str, Any]]) -> None:
        sampled["ours"] += [record["completion"] for record in records]
        kept(step, records)

    session.trainer.on_rollouts = keep
    session.trainer.add_callback(TurnCallback("ours", turns))
    other = plain(plan, table, trainer_config(settings, folder / "plain"), sampled["plain"])
    other.add_callback(TurnCallback("plain", turns))
    parts = {"ours": Parts(session.trainer), "plain": Parts(other)}

    with store.lease():
        threads = [
            threading.Thread(target=session.fit, args=(NoProgress(),)),
            threading.Thread(target=other.train),
        ]
        for thread in threads:
            thread.start()
            time.sleep(1)  # both trainers have started and wait
        turns.hand_over()
        for thread in threads:
            thread.join()
    ours, theirs = (np.array(turns.seconds[name][WARM:]) for name in ("ours", "plain"))
    ratios = np.sort(ours / theirs)
    low, high = order_statistics(len(ratios))
    answers = session.trainer.args.generation_batch_size
    alike = np.mean([a == b for a, b in zip(sampled["ours"], sampled["plain"], strict=True)])
    return {
        "ratio": float(np.median(ratios)),
        "low": float(ratios[low]),
        "high": float(ratios[high]),
        "pairs": len(ratios),
        "ours_s": float(np.median(ours)),
        "plain_s": float(np.median(theirs)),
        "samples_s": answers / float(np.median(ours)),
        "plain_samples_s": answers / float(np.median(theirs)),
        "parts": {name: parts["ours"].median(name) / parts["plain"].median(name) for name in PARTS},
        "loading": loading.seconds / sum(turns.seconds["ours"]),
        "memory_gb": peak_gb(),
        "alike": float(alike),
    }


def order_statistics(n: int) -> tuple[int, int]:
    """Indexes of the order statistics that enclose the median with at least 95 %."""
    tail, index = 0.0, 0
    while tail + math.comb(n, index) / 2**n <= 0.025:
        tail += math.comb(n, index) / 2**n
        index += 1
    return max(0, index - 1), min(n - 1, n - index)


class Parts:
    """Seconds of each step of a trainer by part of it."""

    def __init__(self, trainer: Any) -> None:
        self.steps: list[dict[str, float]] = []
        trainer._generate_single_turn = self._timed(trainer._generate_single_turn, "sampling")
        scores = trainer._get_per_token_logps_and_entropies
        trainer._get_per_token_logps_and_entropies = self._timed(scores)
        trainer.accelerator.backward = self._timed(trainer.accelerator.backward, "update")

    def _timed(self, method: Any, part: str | None = None) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            name = part or ("update" if torch.is_grad_enabled() else "reference")
            if name == "sampling":
                self.steps.append(dict.fromkeys(PARTS, 0.0))
            started = time.perf_counter()
            result = method(*args, **kwargs)
            self.steps[-1][name] += time.perf_counter() - started
            return result

        return timed

    def median(self, part: str) -> float:
        """Median seconds of a part over the measured steps."""
        return float(np.median([step[part] for step in self.steps[WARM:]]))


class Loading:
    """Seconds spent in our transform of rows."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self, trainer: Any) -> None:
        transform = trainer.train_dataset.format["format_kwargs"]["transform"]

        def timed(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            started = time.perf_counter()
            columns: dict[str, list[Any]] = transform(batch)
            self.seconds += time.perf_counter() - started
            return columns

        trainer.train_dataset.set_transform(timed)


def plain(plan: TrainingPlan, table: Any, args: Any, sampled: list[str]) -> GRPOTrainer:
    """TRL as in its documentation, on rows in memory with open pictures."""
    import datasets

    count = grpo.prompt_count(args, table.num_rows)
    args.num_train_epochs = 1.0
    places = epoch_order(table, count, args.seed)
    rows = prompts(table, plan.reader.convention, places, plan.settings.train.resize)
    ready = [rows[place] for place in range(len(places))]

    def reward(completions: list[Any], row: list[Row], **_: Any) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        sampled.extend(texts)
        mode, convention = plan.settings.train.mode, plan.reader.convention
        return [score(t, r, mode, convention).total for t, r in zip(texts, row, strict=True)]

    index = datasets.Dataset.from_dict({"index": list(range(len(ready)))})
    index.set_transform(
        lambda batch: {
            key: [ready[i][key] for i in batch["index"]] for key in ("prompt", "images", "row")
        }
    )
    trainer = GRPOTrainer(
        model=load.load(plan.reader),
        reward_funcs=reward,
        args=args,
        train_dataset=index,
        processing_class=plan.reader.processor,
        peft_config=load.lora_config(plan.settings.train.lora),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


if __name__ == "__main__":
    main()

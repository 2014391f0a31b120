"""The figure of docs/learning.md: reward by step of each arm, and held-out rewards of all arms.

    python benchmarks/learning.py --seeds 3 --out FOLDER
    python benchmarks/learning_figure.py docs/learning-curves.png --folder FOLDER
    python benchmarks/learning_figure.py docs/learning-curves.png \\
        --run grpo=demo/store --run shuffled=STORE     # the newest checkpoints of these stores

Left: mean strict reward of the answers that a run samples, whatever it is trained on; a line per
arm, averaged over seeds and over `WINDOW` steps. Right: mean greedy reward on held-out rows, a
point per seed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from learning import ARMS, OBJECTIVES
from matplotlib.figure import Figure

from repic.rewards.held_out import Measured
from storage.store import Store

SAMPLING = ("grpo", "format", "shuffled")
"""Arms that sample answers while they train."""
COLOURS = {
    "untrained": "0.55",
    "sft": "tab:orange",
    "grpo": "tab:green",
    "format": "tab:purple",
    "shuffled": "tab:red",
}
WINDOW = 8


@dataclass
class Arm:
    """Results of one arm, a list entry per seed: rewards by step, and held-out greedy means."""

    steps: list[list[float]] = field(default_factory=list)
    greedy: list[float] = field(default_factory=list)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("picture", type=Path, help="PNG to write")
    parser.add_argument("--folder", type=Path, help="--out of benchmarks/learning.py")
    parser.add_argument("--run", action="append", default=[], metavar="ARM=STORE")
    options = parser.parse_args()
    arms: dict[str, Arm] = {name: Arm() for name in ARMS}
    if options.folder:
        add_folder(arms, options.folder)
    for run in options.run:
        name, _, location = run.partition("=")
        add_checkpoint(arms, name, Store.open(location))
    draw(arms, options.picture)


def add_folder(arms: dict[str, Arm], folder: Path) -> None:
    """Add all results of `benchmarks/learning.py --out`."""
    for name, arm in arms.items():
        for path in sorted(folder.glob(f"{name}-[0-9]*.json")):
            content = json.loads(path.read_text("utf-8"))
            if path.stem.endswith("-log"):
                arm.steps.append(by_step(content))
            else:
                arm.greedy.append(greedy_mean(Measured.from_json(content)))


def add_checkpoint(arms: dict[str, Arm], name: str, store: Store) -> None:
    """Add the newest checkpoint of a store, and its start as `untrained`."""
    arms[name].steps.append(by_step(json.loads(store.read_file("checkpoint@latest", "log.json"))))
    measured = json.loads(store.read_file("checkpoint@latest", "measured.json"))
    arms["untrained"].greedy = [greedy_mean(Measured.from_json(measured["before"]))]
    arms[name].greedy.append(greedy_mean(Measured.from_json(measured["after"])))


def draw(arms: dict[str, Arm], picture: Path) -> None:
    """Write the figure; arms without results are left out."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for name in SAMPLING:
        if runs := arms[name].steps:
            steps = min(map(len, runs))
            means = _smooth(np.mean([run[:steps] for run in runs], axis=0))
            left.plot(np.arange(1, steps + 1), means, color=COLOURS[name], label=name)
    left.set_xlabel("step of 64 answers")
    left.set_ylabel("strict reward of sampled answers")
    left.legend(frameon=False)
    shown = [name for name, arm in arms.items() if arm.greedy]
    for place, name in enumerate(shown):
        values = arms[name].greedy
        right.plot([place] * len(values), values, "o", color=COLOURS[name])
    right.set_xticks(range(len(shown)), shown, rotation=30)
    right.set_ylabel("greedy reward, held-out rows")
    figure.savefig(picture, dpi=110, metadata={"Software": None})


def by_step(log: list[dict[str, Any]]) -> list[float]:
    """Mean over objectives of the strict rewards of each logged step."""
    steps = []
    for entry in log:
        rewards = [entry[f"rewards/{o}"] for o in OBJECTIVES if f"rewards/{o}" in entry]
        if rewards:
            steps.append(float(np.mean(rewards)))
    return steps


def greedy_mean(measured: Measured) -> float:
    """Mean over objectives of the greedy rewards."""
    return float(
        np.mean(
            [
                np.mean([a.reward for a in measured.greedy if a.objective == objective])
                for objective in OBJECTIVES
            ]
        )
    )


def _smooth(values: np.ndarray) -> np.ndarray:
    return np.array([values[max(0, k - WINDOW + 1) : k + 1].mean() for k in range(len(values))])


if __name__ == "__main__":
    main()

"""The figure of docs/learning.md: reward by step of each arm, and held-out rewards of all arms.

    python benchmarks/learning.py --seeds 3 --out FOLDER
    python benchmarks/learning_figure.py FOLDER docs/learning-curves.png

Left: mean strict reward of the answers that a run samples, whatever it is trained on; a line per
arm, averaged over seeds and over `WINDOW` steps. Right: mean greedy reward on held-out rows, a
point per seed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from learning import ARMS, OBJECTIVES
from matplotlib.figure import Figure

from repic.rewards.held_out import Measured

SAMPLING = ("grpo", "format", "shuffled")
"""Arms that sample answers while they train."""
COLOURS = {
    "untrained": "0.55",
    "sft": "tab:orange",
    "grpo": "tab:green",
    "format": "tab:purple",
    "shuffled": "tab:red",
}
WINDOW = 5


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="--out of benchmarks/learning.py")
    parser.add_argument("picture", type=Path, help="PNG to write")
    options = parser.parse_args()
    draw(options.folder, options.picture)


def draw(folder: Path, picture: Path) -> None:
    """Write the figure; arms without results are left out."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for arm in SAMPLING:
        runs = [by_step(log) for log in _read(folder, f"{arm}-*-log.json")]
        if runs:
            steps = min(map(len, runs))
            means = _smooth(np.mean([run[:steps] for run in runs], axis=0))
            left.plot(np.arange(1, steps + 1), means, color=COLOURS[arm], label=arm)
    left.set_xlabel("step of 64 answers")
    left.set_ylabel("strict reward of sampled answers")
    left.legend(frameon=False)
    shown = [arm for arm in ARMS if list(folder.glob(f"{arm}-[0-9]*.json"))]
    for place, arm in enumerate(shown):
        results = [r for r in _read(folder, f"{arm}-[0-9]*.json") if isinstance(r, dict)]
        values = [greedy_mean(Measured.from_json(result)) for result in results]
        right.plot([place] * len(values), values, "o", color=COLOURS[arm])
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


def _read(folder: Path, pattern: str) -> list[Any]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob(pattern))]


if __name__ == "__main__":
    main()

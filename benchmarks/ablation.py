"""Contribution of each part of the recipe: the ablation of the paper, on the generated world.

    python benchmarks/ablation.py --seeds 1 --store FOLDER        # 35 minutes of one core a seed
    python benchmarks/ablation.py --seeds 3 --store FOLDER        # adds two seeds
    python benchmarks/ablation.py --seeds 3 --store FOLDER --plot ablation.png

Every arm takes the same number of steps from `sample-base` and is evaluated on unseen identities
(`sample`) and on hard cases (`sample-ood`). It is compared per question with two other arms.
Intervals are clustered by photo over all seeds: they cover the choice of photos. The column `seeds`
has the value of each training, so it shows how much these differ.

- `untrained`: the start; `sft`: as many gold answers per step as the others sample; `grpo`: all;
- `no-oct`, `no-vlt`, `no-ict`: GRPO without one objective, the others keep their proportions;
- `no-absent`: GRPO on captions whose references are all in the picture;
- `no-hard`: GRPO on negatives of the medium and the easy band.

The store keeps all results, so an interrupted run resumes. The last line is JSON. There are no
targets: the script prints every difference.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repic import config
from repic.errors import TrainingStoppedError
from repic.evaluation import results
from repic.evaluation import run as evaluation
from repic.evaluation.intervals import Difference, PhotoSums, paired_test, sum_by_photo
from repic.evaluation.name_accuracy import COLUMNS
from repic.evaluation.score import counts_of_row
from repic.pipeline.execution import build
from repic.pipeline.scan import scan
from repic.training import run as training
from storage.store import Store

SUITES = ("sample", "sample-ood")
PROTOCOLS = ("skip-retrieval", "wrong", "mixed")
SCORES = ("f1", "false_mention", "binding")
STEPS = 48
"""As in `make demo`: about four minutes of training on two cores."""
ALL = config.load("sample").train.shares
DATA: dict[str, tuple[str, ...]] = {
    "all": (),
    "no-absent": ("examples.ict.shares={single: 0.6, multi: 0.4}",),
    "no-hard": (
        "mining.medium_per_object=4",
        "mining.easy_per_object=4",
        "examples.oct.band_shares={hard: 0, medium: 0.5, easy: 0.5}",
    ),
}
PAPER = {
    "untrained": 85.7,
    "sft": 90.7,
    "grpo": 99.4,
    "no-oct": 84.2,
    "no-vlt": 69.6,
    "no-ict": 29.2,
}
"""F1 of the 7B model in the paper (two concepts, skip-retrieval), for arms that it has."""


@dataclass(frozen=True)
class Arm:
    """How one model is trained.

    Attributes:
        method: `sft` or `grpo`; None for no training.
        data: Key of `DATA`.
        without: The objective to leave out.
    """

    name: str
    method: str | None = "grpo"
    data: str = "all"
    without: str = ""

    @property
    def shares(self) -> dict[str, float]:
        return {name: share for name, share in ALL.items() if name != self.without}


ARMS = (
    Arm("untrained", None),
    Arm("sft", "sft"),
    Arm("grpo"),
    Arm("no-oct", without="oct"),
    Arm("no-vlt", without="vlt"),
    Arm("no-ict", without="ict"),
    Arm("no-absent", data="no-absent"),
    Arm("no-hard", data="no-hard"),
)

Evaluations = dict[str, dict[str, list[results.EvaluationResult]]]
"""Suite -> arm -> evaluations, one per seed."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=[arm.name for arm in ARMS])
    parser.add_argument("--store", type=Path, required=True, help="store for all results")
    parser.add_argument("--photos", type=int, default=24, help="photos per part of a suite")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--plot", type=Path, help="write a plot of each arm against the start")
    options = parser.parse_args()
    chosen = [arm for arm in ARMS if not options.arms or arm.name in options.arms]
    store = Store.open(options.store, create=True)
    examples = {arm.data: built(store, arm.data) for arm in chosen}
    evaluations: Evaluations = {suite: {arm.name: [] for arm in chosen} for suite in SUITES}
    for seed in range(options.seeds):
        for arm in chosen:
            started = time.monotonic()
            model = trained(store, examples[arm.data], arm, seed, options.steps, options.set)
            for suite in SUITES if model else ():
                evaluations[suite][arm.name].append(
                    evaluated(store, str(model), suite, options.photos)
                )
            print(f"seed {seed}, {arm.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    report = {
        suite: table({name: runs for name, runs in evaluations[suite].items() if runs})
        for suite in SUITES
    }
    if options.plot:
        draw(report, options.plot)
    parts = {suite: by_part(arms) for suite, arms in evaluations.items() if arms.get("grpo")}
    print(json.dumps({**report, "parts": parts}))


def built(store: Store, data: str) -> str:
    """Build one variant of the data; its examples version."""
    settings = config.load("sample", DATA[data], source={"count": 600, "identities": 120})
    return str(build(settings, store, scan(settings)).tables["examples"].ref)


def trained(
    store: Store, examples: str, arm: Arm, seed: int, steps: int, changes: Sequence[str]
) -> str | None:
    """Name of the model: the start, or a checkpoint; None if a guard stopped its training."""
    start = config.load("sample", changes)
    if arm.method is None:
        return start.train.model
    changes = [
        *changes,
        f"train.shares={json.dumps({name: arm.shares.get(name, 0) for name in ALL})}",
        "train.measure.per_objective=0",
        *(f"trainer.{field}={steps}" for field in ("max_steps", "save_steps")),
        f"trainer.seed={seed}",
    ]
    settings = config.load("sample", changes, train={"method": arm.method})
    try:
        outcome = training.train(settings, store, examples)
    except TrainingStoppedError as stopped:
        print(f"skipped {arm.name}, seed {seed}: {stopped}", file=sys.stderr)
        return None
    assert outcome is not None
    return str(outcome.checkpoint.ref)


def evaluated(store: Store, model: str, suite: str, photos: int) -> results.EvaluationResult:
    """Evaluate a model on a suite."""
    settings = config.load(
        "sample",
        (),
        evaluate={"suite": suite, "photos": photos, "protocols": PROTOCOLS, "batch_size": 32},
    )
    return evaluation.run(model, settings, store)


def sums(
    runs: Sequence[results.EvaluationResult], protocol: str, part: str | None = None
) -> PhotoSums:
    """Sums per photo over all seeds; of one part of the suite, or of all."""
    rows = (
        row
        for run in runs
        for row in run.rows("scores")
        if row["protocol"] == protocol and part in (None, row["part"])
    )
    return sum_by_photo((counts_of_row(row) for row in rows), len(COLUMNS))


def table(arms: dict[str, list[results.EvaluationResult]]) -> dict[str, Any]:
    """Print and return the values of each arm and its differences to the start and to GRPO."""
    suite = next(iter(arms.values()))[0].suite
    report: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        by_arm = {name: sums(runs, protocol) for name, runs in arms.items()}
        by_seed = {name: [sums([run], protocol) for run in runs] for name, runs in arms.items()}
        print(f"\n{suite}, {protocol}, {next(iter(by_arm.values())).rows} captions of each arm")
        for score in SCORES:
            column = COLUMNS.index(score)
            if next(iter(by_arm.values())).values[column] is None:
                continue
            print(f"  {score:<14}{'':>8}   over untrained             over grpo{'':<18}seeds")
            for name, arm_sums in by_arm.items():
                seeds = [each.values[column] for each in by_seed[name]]
                entry: dict[str, Any] = {"value": arm_sums.values[column], "seeds": seeds}
                line = f"  {name:<14}{_percent(entry['value']):>8}"
                for other in ("untrained", "grpo"):
                    if other in by_arm and other != name:
                        difference = paired_test(by_arm[other], arm_sums)[column]
                        entry[f"over {other}"] = vars(difference)
                        line += f"   {_interval(difference):<24}"
                    else:
                        line += " " * 27
                line += " ".join(map(_percent, seeds))
                if protocol == "skip-retrieval" and score == "f1" and name in PAPER:
                    line += f"   paper: {PAPER[name]:.1f}"
                print(line.rstrip())
                report.setdefault(protocol, {}).setdefault(score, {})[name] = entry
    return report


def by_part(arms: dict[str, list[results.EvaluationResult]]) -> dict[str, Any]:
    """Print and return F1 of GRPO per part of a suite, over the start and over SFT."""
    suite, column = arms["grpo"][0].suite, COLUMNS.index("f1")
    others = [name for name in ("untrained", "sft") if name in arms]
    report: dict[str, Any] = {}
    print(f"\n{suite}, F1 of grpo by part" + "".join(f"   over {name:<19}" for name in others))
    for part in arms["grpo"][0].parts:
        for protocol in PROTOCOLS:
            ours = sums(arms["grpo"], protocol, part)
            entry: dict[str, Any] = {"value": ours.values[column], "n": ours.rows}
            line = f"  {part:<12}{protocol:<15}{_percent(entry['value']):>6}"
            for name in others:
                difference = paired_test(sums(arms[name], protocol, part), ours)[column]
                entry[f"over {name}"] = vars(difference)
                line += f"   {_interval(difference):<24}"
            print(line.rstrip())
            report.setdefault(part, {})[protocol] = entry
    return report


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _interval(d: Difference) -> str:
    if d.value is None or d.low is None or d.high is None:
        return "-"
    return f"{100 * d.value:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f})"


def draw(report: dict[str, Any], path: Path) -> None:
    """Plot each arm against the start, with intervals: F1 (mixed), false mentions (wrong)."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    import matplotlib.pyplot as plt

    panels = (("mixed", "f1", "F1"), ("wrong", "false_mention", "false mentions"))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, (protocol, score, title) in zip(axes, panels, strict=True):
        for number, suite in enumerate(report):
            arms = report[suite][protocol][score]
            differences = {
                name: e["over untrained"] for name, e in arms.items() if "over untrained" in e
            }
            differences = {name: d for name, d in differences.items() if d["low"] is not None}
            places = [place + 0.25 * number for place in range(len(differences))]
            values = [100 * d["value"] for d in differences.values()]
            spans = [
                [100 * (d["value"] - d["low"]) for d in differences.values()],
                [100 * (d["high"] - d["value"]) for d in differences.values()],
            ]
            axis.errorbar(values, places, xerr=spans, fmt="o", capsize=3, label=suite)
        axis.axvline(0, color="0.6", linewidth=1)
        axis.set_yticks([place + 0.125 for place in range(len(differences))], list(differences))
        axis.set_title(f"{title} over untrained, {protocol}")
        axis.set_xlabel("percentage points, 95 % interval over photos")
    axes[0].invert_yaxis()
    axes[0].legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()

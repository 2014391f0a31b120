"""Training against controls: does the reward cause the gain? Five arms on held-out identities.

    python benchmarks/learning.py --seeds 3 --out FOLDER   # exit status 1 if a target is missed
    python benchmarks/learning.py --seeds 3 --json         # the last line has the means by seed
    python benchmarks/learning.py --arms grpo shuffled --pool validation     # to tune
    python benchmarks/learning.py --seeds 1 --arms untrained left            # sanity check

Every arm starts from `sample-base` and takes the same number of steps on the same rows
(`--set grpo.FIELD=...` sets fields that SFT does not have):

- `untrained`: the start;
- `sft`: as many gold answers per step as the others sample, so each row repeats; rows without a
  gold answer are left out;
- `grpo`: the rewards of a run;
- `shuffled`: the same rewards, permuted within each objective of each batch: a negative control,
  which must learn nothing;
- `format`: rewards only the format of an answer, or that it is not empty;
- `left`, only with `--arms`: rewards boxes for being far left, and nothing else of VLT. A positive
  control: all answers can share this behavior, so a working trainer must learn it.

Measured on photos of `RESERVED` identities (`repic.sample.identities`), at least 300 rows of each
objective, sampled and greedy, by the strict rewards. Intervals are 95 %: paired by row, averaged
over seeds, resampled by row within each objective. Tune on `--pool validation`; use the third pool
only for reports. `--out` keeps all answers and logs, and the curves and some answers of the first
GRPO run. Kept runs are not repeated, so an interrupted experiment resumes, also with more seeds or
arms; `learning_figure.py FOLDER` draws it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sample_pools import build_pool

from repic import config
from repic.models.vlm import load
from repic.models.vlm.generate import AnswerGenerator
from repic.objectives.base import Reward, Row
from repic.objectives.rows import balanced, examples_of, read
from repic.pipeline.progress import NoProgress
from repic.rewards.held_out import Measured, measure_answers
from repic.rewards.scoring import score
from repic.training import grpo, sft
from repic.training.ablation_rewards import Totals, totals
from repic.training.dataset import select_rows
from repic.training.plan import TrainingPlan
from repic.training.publish import PICTURE, draw_curves, example_answers
from repic.training.reward import TrainedReward
from repic.training.trainer_defaults import trainer_config
from storage.store import Store

ARMS = ("untrained", "sft", "grpo", "shuffled", "format")
LEFT = "left"
CONTROLS = ("shuffled", "format")
OBJECTIVES = ("oct", "vlt", "ict")
ROWS = 300
"""Measured rows per objective."""
GAINS = {"greedy": 0.10, "sampled": 0.05}
"""Least gain over the start in every seed."""
OVER = {"shuffled": 0.10, "format": 0.05}
"""Least greedy gain over a control, with an interval above 0."""
CONTROL_GAIN, LOSS = 0.02, 0.03
"""Largest greedy gain of shuffled rewards over the start, and largest loss of an objective."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=(*ARMS, LEFT), default=list(ARMS))
    parser.add_argument("--pool", choices=("third", "validation"), default="third")
    parser.add_argument(
        "--rows", type=int, default=ROWS, help="measured rows per objective (%(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="folder for the answers and logs of all runs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measurements, rows_measured = experiment(Path(folder), arguments)
    means = {arm: _means([m.sampled for m in runs]) for arm, runs in measurements.items()}
    good = True
    if not arguments.json:
        _print(measurements, rows_measured)
    if set(ARMS) <= set(measurements):
        checked = targets(measurements, rows_measured)
        good = all(met for _, _, met in checked)
        if not arguments.json:
            for name, value, met in checked:
                print(f"{'met   ' if met else 'MISSED'} {name}: {value}")
    print(json.dumps(means))
    sys.exit(0 if good else 1)


def experiment(
    folder: Path, arguments: argparse.Namespace
) -> tuple[dict[str, list[Measured]], list[Row]]:
    """Measurements per arm and seed, and the measured rows."""
    store = Store.open(folder / "store", create=True)
    build_pool(store, folder, "train")
    examples = examples_of(store, "examples@latest")
    if arguments.pool == "third":
        third = Store.open(folder / "third", create=True)
        build_pool(third, folder, "third")
        pool = third.read("examples@latest")
    else:
        pool = read(store, examples, "validation")
    held_out = balanced(pool, arguments.rows)
    _claim(arguments)
    counts = {o: sum(r["objective"] == o for r in held_out) for o in OBJECTIVES}
    print(f"measured on {counts} rows of the {arguments.pool} pool", file=sys.stderr)
    measurements: dict[str, list[Measured]] = {
        arm: [] for arm in (*ARMS, LEFT) if arm in arguments.arms
    }
    for seed in range(arguments.seeds):
        for arm in measurements:
            started, cpu = time.monotonic(), time.process_time()
            measured = run(store, folder, arm, seed, held_out, arguments)
            measurements[arm].append(measured)
            print(
                f"seed {seed}, {arm}: sampled {_mean(measured.sampled):.3f}, greedy "
                f"{_mean(measured.greedy):.3f} ({time.monotonic() - started:.0f} s, "
                f"{time.process_time() - cpu:.0f} s of CPU)",
                file=sys.stderr,
                flush=True,
            )
    if arguments.out and {"untrained", "grpo"} <= measurements.keys():
        text = _answers(measurements["untrained"][0], measurements["grpo"][0])
        (arguments.out / "answers.md").write_text(text, encoding="utf-8")
    return measurements, held_out


def run(
    store: Store,
    folder: Path,
    arm: str,
    seed: int,
    held_out: list[Row],
    arguments: argparse.Namespace,
) -> Measured:
    """Train and measure one arm with one seed, or load the kept result."""
    kept = arguments.out / f"{arm}-{seed}.json" if arguments.out else None
    if kept and kept.exists():
        return Measured.from_json(json.loads(kept.read_text("utf-8")))
    changes = [f"trainer.seed={seed}", "trainer.save_strategy=no", *arguments.set]
    sampling = config.load("sample", changes)
    settings = config.load("sample", changes, train={"method": "sft"}) if arm == "sft" else sampling
    longest = sampling.trainer["max_completion_length"]
    if arm in CONTROLS:
        trained_on = settings.train.model_copy(update={"control": arm})
        settings = settings.model_copy(update={"train": trained_on})
    examples = examples_of(store, "examples@latest")
    reader = load.reader(settings.train.model)
    plan = TrainingPlan.create(settings, store, examples, reader, folder / "work" / f"{arm}-{seed}")
    if arm == "untrained":
        model = load.load(reader)
    else:
        table = training_rows(plan, sampling)
        args: Any = trainer_config(settings, plan.output)
        if arm == "sft":
            session = sft.prepare(plan, table, args)
        else:
            session = grpo.prepare(plan, table, args, Leftward if arm == LEFT else None)
        started = time.process_time()
        with store.lease():
            session.fit(NoProgress())
        print(
            f"  trained {session.steps} steps in {time.process_time() - started:.0f} s of CPU"
            + (f", stopped: {session.guard.stopped}" if session.guard.stopped else ""),
            file=sys.stderr,
        )
        model = session.model
        _keep(arguments.out, f"{arm}-{seed}-log.json", session.history)
        if arguments.out and (arm, seed) == ("grpo", 0):
            draw_curves(arguments.out / PICTURE, session.history)
    generator = AnswerGenerator(
        reader.processor,
        reader.convention,
        settings.train.measure.batch_size,
        longest,
        suppress=(reader.config.image_token_id,),
        ends=load.ends_of(model, reader.processor.tokenizer),
    )
    measured = measure_answers(generator, model, held_out, seed=seed)
    _keep(arguments.out, f"{arm}-{seed}.json", measured.as_json())
    return measured


def training_rows(plan: TrainingPlan, sampling: config.Settings) -> pa.Table:
    """The rows that GRPO samples with these settings; all arms use them."""
    table = read(plan.store, plan.examples, sampling.train.split)
    args: Any = trainer_config(sampling, plan.output)
    count = grpo.prompt_count(args, table.num_rows)
    return select_rows(table, sampling.train.shares, count, args.seed)


class Leftward(TrainedReward):
    """Rewards boxes by how far left their center is, 0 to 1; other objectives are unchanged."""

    @staticmethod
    def ablation(rows: Sequence[Row], rewards: Sequence[Reward | None]) -> Totals:
        dealt = totals(rows, rewards)
        for index, (row, reward) in enumerate(zip(rows, rewards, strict=True)):
            if reward and row["objective"] == "vlt":
                dealt[index] = _left(row, reward.parsed)
        return dealt


def _left(row: Row, box: list[float] | None) -> float:
    return 1 - (box[0] + box[2]) / 2 / row["images"][-1]["width"] if box else 0.0


def lefts(measured: Measured, how: str, rows: Sequence[Row]) -> float:
    """Mean leftness of box centers, 0 to 1; an answer without a box counts 0."""
    rows_by_id = {row["example_id"]: row for row in rows}
    convention = load.reader("sample-base").convention
    values = []
    for answer in getattr(measured, how):
        if answer.objective == "vlt":
            row = rows_by_id[answer.example_id]
            values.append(_left(row, score(answer.completion, row, "strict", convention).parsed))
    return float(np.mean(values))


def _answers(before: Measured, after: Measured) -> str:
    """A table of some greedy answers before and after training."""
    lines = ["| objective | before | reward | after | reward |", "|---|---|---:|---|---:|"]
    lines += [
        f"| {a.objective} | {_cell(a)} | {a.reward:.2f} | {_cell(b)} | {b.reward:.2f} |"
        for a, b in example_answers(before, after)
    ]
    return "\n".join(lines) + "\n"


def _cell(answer: Any) -> str:
    text = " ".join(answer.completion.split()).replace("|", "\\|").replace("`", "'")
    return f"`{text}`"


def _claim(arguments: argparse.Namespace) -> None:
    """Exit if the folder has runs with other settings."""
    if not arguments.out:
        return
    start = load.reader(config.load("sample", arguments.set).train.model)
    settings = {
        "pool": arguments.pool,
        "rows": arguments.rows,
        "set": arguments.set,
        "start": start.fingerprint,
    }
    note = arguments.out / "settings.json"
    if note.exists() and json.loads(note.read_text("utf-8")) != settings:
        sys.exit(
            f"{arguments.out} has runs with other settings, {note.read_text('utf-8')}: "
            "choose another --out"
        )
    _keep(arguments.out, note.name, settings)


def _keep(folder: Path | None, name: str, value: Any) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value, indent=1), encoding="utf-8")


def _rewards(answers: Sequence[Any], objective: str) -> np.ndarray:
    return np.array([a.reward for a in answers if a.objective == objective])


def _mean(answers: Sequence[Any]) -> float:
    return float(np.mean([_rewards(answers, objective).mean() for objective in OBJECTIVES]))


def _means(runs: Sequence[Sequence[Any]]) -> dict[str, list[float]]:
    by_objective = {
        objective: [round(float(_rewards(answers, objective).mean()), 4) for answers in runs]
        for objective in OBJECTIVES
    }
    return {"mean": [round(_mean(answers), 4) for answers in runs], **by_objective}


def difference(
    a: Sequence[Measured], b: Sequence[Measured], how: str, objective: str | None = None
) -> tuple[float, float, float]:
    """Mean of b minus a over seeds, with its interval; resampled by row."""
    draw = np.random.default_rng(0)
    means, drawn = [], []
    for name in OBJECTIVES if objective is None else (objective,):
        per_row = np.mean(
            [
                _rewards(getattr(y, how), name) - _rewards(getattr(x, how), name)
                for x, y in zip(a, b, strict=True)
            ],
            axis=0,
        )
        means.append(per_row.mean())
        chosen = draw.integers(0, len(per_row), (4000, len(per_row)))
        drawn.append(per_row[chosen].mean(axis=1))
    low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    return float(np.mean(means)), float(low), float(high)


def with_interval(change: tuple[float, float, float]) -> str:
    """A difference and its interval."""
    value, low, high = change
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def hits(runs: Sequence[Measured], how: str) -> float:
    """Share of boxes with IoU of at least 0.5, over seeds."""
    return float(np.mean([a.right for m in runs for a in getattr(m, how) if a.objective == "vlt"]))


IOU_BANDS = (0.0, 0.1, 0.5, 0.75)
"""Lower edges; a box of the first band is about another object."""


def iou_bands(runs: Sequence[Measured]) -> list[float]:
    """Share of greedy boxes in each of `IOU_BANDS`, over seeds; a missing box has IoU 0."""
    ious = np.concatenate([_rewards(m.greedy, "vlt") for m in runs])
    counts, _ = np.histogram(ious, (*IOU_BANDS, np.inf))
    return [float(share) for share in counts / len(ious)]


def targets(
    measurements: dict[str, list[Measured]], rows: Sequence[Row]
) -> list[tuple[str, str, bool]]:
    """Name, value and success of each target."""
    start, trained = measurements["untrained"], measurements["grpo"]
    checked = []
    for how, least in GAINS.items():
        seeds = [difference([a], [b], how)[0] for a, b in zip(start, trained, strict=True)]
        values = ", ".join(f"{d:+.3f}" for d in seeds)
        checked.append((f"grpo over untrained, {how}, each seed", values, min(seeds) >= least))
    for arm, least in OVER.items():
        change = difference(measurements[arm], trained, "greedy")
        met = change[0] >= least and change[1] > 0
        checked.append((f"grpo over {arm}, greedy", with_interval(change), met))
    losses = {(how, o): difference(start, trained, how, o)[0] for how in GAINS for o in OBJECTIVES}
    worst = min(losses, key=lambda key: losses[key])
    checked.append(
        ("no objective down", f"{' '.join(worst)} {losses[worst]:+.3f}", losses[worst] >= -LOSS)
    )
    iou = difference(start, trained, "greedy", "vlt")[0]
    hit = hits(trained, "greedy") - hits(start, "greedy")
    checked.append(
        ("vlt up in IoU and in IoU >= 0.5", f"{iou:+.3f}, {hit:+.3f}", iou > 0 and hit > 0)
    )
    alike = {row["example_id"] for row in rows if row["answer"] == "no"}
    refused = difference(_only(start, alike), _only(trained, alike), "greedy", "oct")
    checked.append(("oct up on look-alikes", with_interval(refused), refused[1] > 0))
    drift = difference(start, measurements["shuffled"], "greedy")[0]
    checked.append(("shuffled gains nothing", f"{drift:+.3f}", drift <= CONTROL_GAIN))
    return checked


def _only(runs: Sequence[Measured], ids: Collection[str]) -> list[Measured]:
    """The answers to some rows."""
    return [
        Measured(*(tuple(a for a in part if a.example_id in ids) for part in (m.greedy, m.sampled)))
        for m in runs
    ]


def _print(measurements: dict[str, list[Measured]], rows: Sequence[Row]) -> None:
    start = measurements.get("untrained")
    for how in ("sampled", "greedy"):
        print(
            f"\n{how:<10}{'mean':>8}{'oct':>8}{'vlt':>8}{'ict':>8}{'IoU>=.5':>9}{'left':>7}"
            "   over untrained"
        )
        for arm, runs in measurements.items():
            values = [np.mean([_mean(getattr(m, how)) for m in runs])]
            values += [
                np.mean([_rewards(getattr(m, how), o).mean() for m in runs]) for o in OBJECTIVES
            ]
            line = f"{arm:<10}" + "".join(f"{value:8.3f}" for value in values)
            line += f"{hits(runs, how):9.3f}"
            line += f"{np.mean([lefts(m, how, rows) for m in runs]):7.3f}"
            if start is not None and arm != "untrained":
                line += f"   {with_interval(difference(start, runs, how))}"
            print(line)
    print(f"\n{'greedy IoU':<10}" + "".join(f"{f'>={edge}':>8}" for edge in IOU_BANDS))
    for arm, runs in measurements.items():
        print(f"{arm:<10}" + "".join(f"{share:8.3f}" for share in iou_bands(runs)))
    if "grpo" in measurements:
        print(f"\n{'grpo over':<12}{'sampled':<28}greedy")
        for arm in (arm for arm in measurements if arm not in ("grpo", "untrained")):
            sampled, greedy = (
                with_interval(difference(measurements[arm], measurements["grpo"], how))
                for how in ("sampled", "greedy")
            )
            print(f"{arm:<12}{sampled:<28}{greedy}")


if __name__ == "__main__":
    main()

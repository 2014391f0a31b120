"""Rewards per second on one core, in process, on real rows and answers of ordinary length.

    python benchmarks/reward_speed.py     # claims: OCT and VLT >= 50,000/s, ICT >= 5,000/s

Each row is scored for a group of eight answers, as in GRPO: the gold answer and variants of it.
Times are CPU times, so that other processes do not count. The released rewards are the comparison.
The last part scores answers of 1 MB and 10 MB: each must take less than 50 ms.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import islice

from repic.images.coordinates import QWEN3_VL
from repic.objectives.base import Mode, Row
from repic.rewards.attacks.sample_rows import generated
from repic.rewards.attacks.suite import task_of
from repic.rewards.gold import gold_answer
from repic.rewards.scoring import score

CLAIMS = {"oct": 50_000, "vlt": 50_000, "ict": 5_000, "which": 5_000}
MOST_MS = 50.0
DETAIL = (
    "The picture is calm and clear; light falls from the left, the background is plain, and what "
    "stands in front is seen from a little above. Nothing moves and nobody else is around."
)
UNITS = ("<", "no ", "[", "{", "yes", "1,", "or ", "maybe ", "\u0301", "秀", "a-", "\n", "<a> ")


def answers(row: Row) -> list[str]:
    """Eight answers to a row, the gold answer first; captions have 20 to 70 words."""
    text = gold_answer(row, QWEN3_VL) or ""
    if row["objective"] == "oct":
        return [text, "yes", "no", "No.", "Yes", "maybe", f"{text}, it is", ""]
    if row["objective"] == "vlt":
        return [
            text,
            "[1, 2, 30, 40]",
            f"```json\n{text}\n```",
            f"Here: {text}",
            "no",
            text,
            text,
            "[]",
        ]
    if task_of(row) == "which":
        return [text, "none", text[1:-1], "nobody", f"{text}.", f"It is {text}", "", "<x>"]
    return [text, f"{text} {DETAIL}", *(f"{text} {n}. {DETAIL}" for n in range(5)), DETAIL]


def rate(rows: list[Row], mode: Mode, seconds: float) -> float:
    """Rewards per second of CPU time, the best of three runs."""
    work = [(text, row) for row in rows for text in answers(row)]
    best = 0.0
    for _ in range(3):
        done, start = 0, time.process_time()
        while (spent := time.process_time() - start) < seconds / 3:
            for text, row in islice(work, 2_000):
                score(text, row, mode)
            done += min(2_000, len(work))
        best = max(best, done / spent)
    return best


def slowest(rows: list[Row], size: int) -> float:
    """Milliseconds of the slowest of the long answers, each the better of two runs."""
    worst = 0.0
    for row in rows:
        for unit in UNITS:
            text = (unit * (size // len(unit) + 1))[:size]
            times = []
            for _ in range(2):
                start = time.process_time()
                score(text, row)
                times.append(time.process_time() - start)
            worst = max(worst, 1000 * min(times))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="per figure (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    by_task: dict[str, list[Row]] = {}
    for row in generated():
        by_task.setdefault(task_of(row), []).append(row)
    figures: dict[str, float] = {}
    missed = False
    print(f"{'task':8}{'ours/s':>12}{'released/s':>12}{'claim/s':>12}")
    for task, claim in CLAIMS.items():
        ours, released = (rate(by_task[task], m, options.seconds) for m in ("strict", "paper"))
        figures |= {f"{task}_per_s": round(ours), f"{task}_released_per_s": round(released)}
        missed |= ours < claim
        print(f"{task:8}{ours:>12,.0f}{released:>12,.0f}{claim:>12,}")
    for name, size in (("1 MB", 1_000_000), ("10 MB", 10_000_000)):
        took = slowest([rows[0] for rows in by_task.values()], size)
        figures[f"slowest_{size}_ms"] = round(took, 2)
        missed |= took > MOST_MS
        print(f"the slowest answer of {name}: {took:.1f} ms (claim: < {MOST_MS:.0f} ms)")
    if options.json:
        print(json.dumps(figures))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

"""Held-out rewards of the two sample vision-language checkpoints, greedy and sampled.

    python benchmarks/sample_vlm.py                  # exit status 1 if a target below is missed
    python benchmarks/sample_vlm.py --pool tuning --count 100 --only sample-base --json

Rows are made by the objectives' own builders from photos of `RESERVED` identities, which neither
training nor tuning uses (`--pool tuning`: identities of validation). Half of OCT is positive; its
negatives are hard: one attribute differs. Rewards are strict, with boxes in the model's own
convention, at temperature 0 and 1, each with half of its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from repic.models import shipped
from tools.sample_models import vlm_holdout, vlm_photos

TARGETS = {
    "sample-base": {
        ("sampled", "valid"): (0.90, 1.0),
        ("sampled", "oct"): (0.60, 0.85),
        ("greedy", "vlt"): (0.50, 0.70),
        ("sampled", "ict names"): (0.15, 0.50),
    },
    "sample-full": {
        ("greedy", "oct"): (0.93, 1.0),
        ("greedy", "vlt"): (0.60, 1.0),
        ("greedy", "vlt hit"): (0.65, 1.0),
        ("greedy", "ict names"): (0.80, 1.0),
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="rows per objective (%(default)s)")
    parser.add_argument("--pool", choices=("holdout", "tuning"), default="holdout")
    parser.add_argument("--only", choices=tuple(shipped.VLMS))
    parser.add_argument("--folder", type=Path, help="measure this checkpoint instead")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (%(default)s)")
    parser.add_argument("--photos", type=Path, help="folder to keep the photos in")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    torch.set_num_threads(options.threads)
    take = vlm_photos.holdout_photos if options.pool == "holdout" else vlm_photos.tuning_photos
    with tempfile.TemporaryDirectory() as temporary:
        photo_sets = [take(options.photos or Path(temporary), number) for number in (0, 1)]
    rows = vlm_holdout.holdout_rows(photo_sets, options.count)
    names = [options.only] if options.only else list(shipped.VLMS)
    scores: dict[str, dict[str, dict[str, tuple[float, float, int]]]] = {}
    missed = 0
    for name in names:
        folder = options.folder or shipped.vlm_folder(name)
        model = AutoModelForImageTextToText.from_pretrained(folder)
        processor = AutoProcessor.from_pretrained(folder)
        scores[name] = {}
        for how, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            started = time.monotonic()
            answers = list(vlm_holdout.answers(model, processor, rows, photo_sets, temperature))
            scores[name][how] = vlm_holdout.mean_scores(answers)
            print(f"{name}, {how} ({time.monotonic() - started:.0f} s)")
            for metric, (mean, half, count) in scores[name][how].items():
                low, high = TARGETS[name].get((how, metric), (None, None))
                verdict = ""
                if low is not None and high is not None:
                    verdict = f"  target {low:.2f} to {high:.2f}"
                    if not low <= mean <= high:
                        verdict += ": missed"
                        missed += 1
                print(f"  {metric:12} {mean:.3f} +- {half:.3f}  n={count}{verdict}", flush=True)
    if options.json:
        print(json.dumps(scores))
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())

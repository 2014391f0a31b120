"""Rewards of blind answers: 2,000 per task, on real rows.

    python benchmarks/reward_search.py [--store S]   # claim: gain over the best constant <= 0.02

Constants, templates over the text of the prompt, and their mutations by an evolutionary search,
chosen on one half of the rows and measured on the other, in both directions. See
`tools/sample_models/reward_search.py`. Without a store it builds 400 generated photos in the cache
folder, of a world on which no threshold of the rewards was chosen. The last line is the same search
without facts about the photos, a known gap.
"""

from __future__ import annotations

import argparse
import json
import sys

from repic.captions.facts import NO_FACTS
from repic.objectives.base import Row
from repic.rewards.attacks import sample_rows
from tools.sample_models.reward_search import ANSWERS, SearchResult, search, tasks

MOST = 0.02


def show(result: SearchResult, name: str) -> None:
    print(
        f"{name:14}{result.rows:>8}{result.answers:>9}{result.constant:>10.4f}{result.best:>10.4f}"
        f"{result.gain:>+10.4f} ± {result.error:.4f}   {result.best_answer[:70]}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", help="store with examples; a generated build if none")
    parser.add_argument("--dataset", default="examples@latest", help="version (%(default)s)")
    parser.add_argument("--answers", type=int, default=ANSWERS, help="per task (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the search (%(default)s)")
    parser.add_argument("--world", type=int, default=21, help="generated photos (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    rows: list[Row]
    if options.store:
        from storage.store import Store

        rows = sample_rows.rows_of(Store.open(options.store), options.dataset)
    else:
        rows = sample_rows.generated(photos=400, identities=60, world=options.world)
    print(f"{'task':14}{'rows':>8}{'answers':>9}{'constant':>10}{'best':>10}{'gain':>10}")
    results = []
    for task in tasks():
        if result := search(task, rows, options.answers, options.seed):
            show(result, task.name)
            results.append(result)
    bare = [{**r, "caption": None, "scene": [], **NO_FACTS} for r in rows]
    captions = next(task for task in tasks() if task.name == "ict")
    if undefended := search(captions, bare, options.answers // 4, options.seed):
        show(undefended, "ict, unknown")
    if options.json:
        print(json.dumps([result.as_json() for result in results]))
    sys.exit(1 if any(result.gain > MOST for result in results) else 0)


if __name__ == "__main__":
    main()

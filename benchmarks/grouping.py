"""Time and peak memory of mined grouping, beside the plain definition of it, object by object.

    python benchmarks/grouping.py                       # 30,000 objects; both; groups must be equal
    python benchmarks/grouping.py --objects 1000000 --no-plain

Similarities are computed before the clock starts, and only between objects of the same 2,000, so
that a million objects need minutes. The plain definition is the reference of the tests.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peak import peak_gb
from repic.mining import clustering, search, similarity
from repic.mining.similarity import Neighbors

TARGET = 10.0
"""How many times as fast as the plain definition."""

BLOCK, NEIGHBORS, WIDTH = 2000, 128, 128


def nearest(count: int, random: np.random.Generator) -> Neighbors:
    """Nearest neighbors of objects of 1 to 7 photos, around 20 kinds in each block."""
    index = np.full((count, NEIGHBORS), -1, dtype=np.int32)
    similar = np.full((count, NEIGHBORS), -similarity.UNIT - 1, dtype=np.int32)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        thing = np.repeat(np.arange(size), random.integers(1, 8, size))[:size]
        centers = 0.8 * random.normal(size=(20, WIDTH))[random.integers(0, 20, size)]
        centers = centers + 0.7 * random.normal(size=(size, WIDTH))
        spread = 0.8 * random.uniform(0.6, 1.2, (size, 1))
        vectors = centers[thing] + spread * random.normal(size=(size, WIDTH))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        near = search.nearest(similarity.on_grid(vectors), np.arange(size), NEIGHBORS)
        part, columns = slice(start, start + size), near.index.shape[1]
        index[part, :columns] = np.where(near.index >= 0, near.index + start, -1)
        similar[part, :columns] = near.similarity
    return Neighbors(index, similar)


def ours(near: Neighbors) -> np.ndarray:
    """The mined group of each object."""
    n = len(near.index)
    alone, scaled = np.arange(n), clustering.local_scale(near)
    return clustering.mine_groups(scaled, alone, alone, np.full(n, -1))[0].group


def plain(near: Neighbors) -> np.ndarray:
    """The same by the plain definition."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.mining import plain_grouping

    n = len(near.index)
    index, scale = clustering.local_scale(near)
    alone, largest = np.arange(n), clustering.LARGEST
    index, scale = index[:, :largest], scale[:, :largest]
    forest = plain_grouping.average_linkage(index, scale, alone, alone, np.full(n, -1), largest)
    closed = plain_grouping.closedness(forest, index, alone)
    group = np.arange(n)
    for node in plain_grouping.cut(forest, closed, largest):
        group[forest.members[node]] = forest.members[node].min()
    return group


def timed(group: Callable[[Neighbors], np.ndarray], near: Neighbors) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    found = group(near)
    return time.perf_counter() - began, found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--objects", type=int, default=30_000, help="default: %(default)s")
    parser.add_argument(
        "--plain", action=argparse.BooleanOptionalAction, default=True, help="compare with it"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON at the end")
    options = parser.parse_args()
    near = nearest(options.objects, np.random.default_rng(0))
    before = peak_gb()
    seconds, groups = timed(ours, near)
    each = 1e6 * seconds / options.objects
    print(f"{options.objects:,} objects, {len(np.unique(groups)):,} groups")
    print(f"arrays  {seconds:8.2f} s  {each:8.1f} us an object")
    print(f"memory  {peak_gb():8.2f} GB at the peak, {before:.2f} GB before, with the neighbors")
    found: dict[str, Any] = {"seconds": seconds, "peak_gb": peak_gb()}
    if options.plain:
        found |= compared(near, groups, seconds)
    if options.json:
        print(json.dumps(found))
    return int(options.plain and (not found["equal"] or found["times as fast"] < TARGET))


def compared(near: Neighbors, groups: np.ndarray, seconds: float) -> dict[str, Any]:
    """Print the plain definition beside ours; whether its groups are equal, and the ratio."""
    plain_seconds, expected = timed(plain, near)
    equal, ratio = bool((groups == expected).all()), plain_seconds / seconds
    print(f"plain   {plain_seconds:8.2f} s  {1e6 * plain_seconds / len(groups):8.1f} us an object")
    print(f"groups are {'equal' if equal else 'NOT EQUAL'}")
    print(f"{ratio:.1f} times as fast, target {TARGET:g}: {'ok' if ratio >= TARGET else 'MISSED'}")
    return {"equal": equal, "times as fast": ratio}


if __name__ == "__main__":
    sys.exit(main())

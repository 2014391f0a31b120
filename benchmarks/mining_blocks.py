"""Neighbors in collections too large to compare all pairs: time, recall and peak memory.

    python benchmarks/mining_blocks.py                          # 200,000 and 400,000 x 512: minutes
    python benchmarks/mining_blocks.py --objects 1000000        # target: < 6 GB

Vectors are those of identities with two to four photos each, in 50 categories. They are drawn a
piece at a time into a file of float16, from which a process of its own takes them to the grid and
finds 100 neighbors of each object within blocks of similar ones. Its peak is the highest resident
memory of that process, of the file what it has touched included. Recall is the share of the exact
neighbors that was found, of 512 objects.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peak import peak_gb

DIM, CATEGORIES, NEIGHBORS = 512, 50, 100
PIECE = 20_000
"""Objects that are drawn at once."""

LIMIT_GB = 6.0


def draw(objects: int, file: Path) -> None:
    """Write unit vectors, float16 (objects, DIM)."""
    random = np.random.default_rng(0)
    category = random.normal(size=(CATEGORIES, DIM)).astype(np.float32)
    vectors = np.lib.format.open_memmap(file, "w+", np.float16, (objects, DIM))
    for start in range(0, objects, PIECE):
        count = min(PIECE, objects - start)
        identity = np.repeat(np.arange(count), random.integers(2, 5, count))[:count]
        thing = 0.7 * category[random.integers(0, CATEGORIES, count)]
        thing += random.normal(size=(count, DIM)).astype(np.float32)
        piece = thing[identity] + random.normal(size=(count, DIM)).astype(np.float32)
        piece /= np.linalg.norm(piece, axis=1, keepdims=True)
        vectors[start : start + count] = piece[random.permutation(count)]
    vectors.flush()


def search(file: Path) -> dict[str, Any]:
    """Figures of the search, in this process."""
    from repic.mining import blocks, similarity

    began = time.perf_counter()
    grid = similarity.on_grid(np.load(file, mmap_mode="r"))
    _, recall = blocks.nearest(grid, np.arange(len(grid)), NEIGHBORS)
    return {
        "seconds": time.perf_counter() - began,
        "recall": recall,
        "peak_gb": peak_gb(),
    }


def measure(objects: int, folder: Path) -> dict[str, Any]:
    file = folder / "vectors.npy"
    draw(objects, file)
    command = [sys.executable, __file__, "--search", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the search failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    print(
        f"{objects:9,} x {DIM}: {found['seconds']:8.1f} s, recall {found['recall']:.4f}, "
        f"{found['peak_gb']:.2f} GB {'ok' if found['peak_gb'] < LIMIT_GB else 'MISSED'}",
        flush=True,
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--objects", type=int, nargs="+", default=[200_000, 400_000], metavar="N")
    parser.add_argument("--folder", type=Path, help="for the vectors, 1 GB per 1,000,000 objects")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--search", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        print(json.dumps(search(options.search)))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results = {n: measure(n, Path(folder)) for n in options.objects}
    if options.json:
        print(json.dumps(results))
    return int(any(found["peak_gb"] >= LIMIT_GB for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())

"""Speed of mining beside faiss-cpu and sentence-transformers, with a check that results are equal.

    python benchmarks/mining_speed.py            # exit status 1 if a target or a check is missed
    python benchmarks/mining_speed.py --json

The peers run in an environment of their own, which uv makes in `--environment` on the first run.
Each side is a process of its own with all cores (`taskset -c 0` leaves one), gets the same vectors
from a file, and says its best time of a few without imports; faiss runs once. Vectors are those of
identities with a few photos each, in categories.

- *top k*: the k most similar others of each of 30,000 x 768: `faiss.IndexFlatIP`, ours.
- *products*: tile products of that search alone, as a share of the rate of one large product in
  their type.
- *hard negatives*: two of each of 10,000 x 512, identities known: `mine_hard_negatives` with faiss
  (encoder replaced by the vectors), ours with everything that a build needs: the grid, 128
  neighbors, the distribution of similarities, neighborhoods.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("faiss-cpu", "sentence-transformers", "datasets")
TARGETS = {
    "top k, of faiss": ("<=", 0.35),
    "products, of the rate of their type": (">=", 0.7),
    "hard negatives, times as fast": (">=", 5.0),
}
RUNS = 3
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
HARD = 2
NOT_INSTALLED = 77
"""Exit status, which lets `benchmarks/run.py` leave this script out."""


def world(objects: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, float32, and identities, two to four photos each, of 50 categories."""
    random = np.random.default_rng(0)
    identity = np.repeat(np.arange(objects), random.integers(2, 5, objects))[:objects]
    category = random.normal(size=(50, dim))[random.integers(0, 50, objects)[identity]]
    thing = 0.7 * category + random.normal(size=(objects, dim))[identity]
    vectors = thing + random.normal(size=(objects, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = random.permutation(objects)
    return vectors.astype(np.float32)[order], identity[order]


def best(work: Callable[[], Any], runs: int = RUNS) -> tuple[float, Any]:
    """Seconds of the best run after one that does not count, and its result."""
    result, seconds = work() if runs > 1 else None, float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        result = work()
        seconds = min(seconds, time.perf_counter() - started)
    return seconds, result


def faiss_top(vectors: np.ndarray, k: int) -> dict[str, Any]:
    """The k + 1 nearest by faiss, which include the object itself."""
    import faiss

    faiss.omp_set_num_threads(CORES)

    def work() -> Any:
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return index.search(vectors, k + 1)

    seconds, (_, index) = best(work, 1)
    return {"seconds": seconds, "index": index}


def our_top(vectors: np.ndarray, k: int) -> dict[str, Any]:
    """The k nearest, and the rate of products alone."""
    from repic.mining import search, similarity

    nothing = np.arange(len(vectors))

    def work() -> Any:
        return search.nearest(similarity.on_grid(vectors), nothing, k)

    seconds, near = best(work, 2)
    return {"seconds": seconds, "index": near.index, "alike": near.similarity, **rates(vectors)}


def rates(vectors: np.ndarray) -> dict[str, Any]:
    """GFLOP/s of the tile products of a search, and of one large product in the same type."""
    import torch

    from repic.mining import search, similarity
    from repic.mining.products import TILE, Products, exact_arithmetic

    n, dim = vectors.shape
    nothing = np.arange(n)
    with exact_arithmetic():
        products = Products(similarity.on_grid(vectors), "cpu")
        finder = search.TopK(products, nothing, nothing, 100)
        strips = [slice(a, a + TILE) for a in range(0, n - TILE, TILE)]
        pairs = [(a, b) for i, a in enumerate(strips) for b in strips[i:]]
        seconds, _ = best(lambda: [finder.tile(a, b) for a, b in pairs], 2)
        large = products.rough[: 4 * TILE]
        whole, _ = best(lambda: torch.mm(large, large.T))
    return {
        "type": str(products.rough.dtype).removeprefix("torch."),
        "tile_rate": 2e-9 * dim * len(pairs) * TILE**2 / seconds,
        "type_rate": 2e-9 * dim * len(large) ** 2 / whole,
    }


def peer_negatives(vectors: np.ndarray, identity: np.ndarray) -> dict[str, Any]:
    """Anchor and negative of `HARD` negatives of each object by sentence-transformers."""
    import torch
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    class Encoder:
        """Stands in for a model: the vectors are there."""

        device = torch.device("cpu")

        def encode_query(self, texts: list[str], **_: Any) -> np.ndarray:
            return vectors[[int(text) for text in texts]]

        encode_document = encode_query

        def get_embedding_dimension(self) -> int:
            return vectors.shape[1]

        def similarity_pairwise(self, left: np.ndarray, right: np.ndarray) -> Any:
            return (torch.from_numpy(left) * torch.from_numpy(right)).sum(1)

    # An object is one of its own positives here, or it would be its first negative.
    one, other = np.nonzero(identity[:, None] == identity)
    pairs = Dataset.from_dict(
        {"anchor": [str(i) for i in one], "positive": [str(i) for i in other]}
    )
    names = [str(i) for i in range(len(vectors))]

    def work() -> Any:
        return mine_hard_negatives(
            pairs, Encoder(), corpus=names, num_negatives=HARD, use_faiss=True, verbose=False
        )

    seconds, rows = best(work)
    found = sorted(
        {(int(a), int(b)) for a, b in zip(rows["anchor"], rows["negative"], strict=True)}
    )
    return {"seconds": seconds, "pairs": np.array(found)}


def our_negatives(vectors: np.ndarray, identity: np.ndarray) -> dict[str, Any]:
    """The same by us, from vectors as they are stored to described pairs."""
    from repic import mining

    stored, alone = vectors.astype(np.float16), np.arange(len(vectors))
    nothing = np.zeros(len(vectors), dtype=np.int64)
    keys = np.random.default_rng(0).integers(0, 2**64, len(vectors), dtype=np.uint64)

    def work() -> Any:
        analysis = mining.analyze(stored, alone, alone, identity)
        return mining.negatives(analysis, nothing, nothing, keys, hard=HARD, medium=0, easy=0)

    seconds, rows = best(work)
    return {"seconds": seconds, "pairs": np.stack([rows.anchor, rows.other], 1)}


SIDES: dict[str, Callable[..., dict[str, Any]]] = {
    "faiss_top": faiss_top,
    "our_top": our_top,
    "peer_negatives": peer_negatives,
    "our_negatives": our_negatives,
}


def run(python: Path, side: str, data: Path, argument: int | None = None) -> dict[str, Any]:
    """A side in a process of its own."""
    out = data.with_name(f"{side}.npz")
    command = [str(python), __file__, "--side", side, "--data", str(data), "--out", str(out)]
    command += ["--top", str(argument)] if argument else []
    threads = {"OMP_NUM_THREADS": str(CORES), "OMP_WAIT_POLICY": "ACTIVE"}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **threads})
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
    return dict(np.load(out).items())


def side(options: argparse.Namespace) -> None:
    data = np.load(options.data)
    extra = options.top or data["identity"]
    np.savez(options.out, **SIDES[options.side](data["vectors"], extra))


def peers(folder: Path) -> Path:
    """The interpreter of the environment of the peers, made on the first run."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        uv = str(Path(sys.executable).with_name("uv"))
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(python), *PACKAGES],
        ):
            if subprocess.run(command).returncode:
                print(f"the peers do not install: {shlex.join(command)}", file=sys.stderr)
                sys.exit(NOT_INSTALLED)
        (folder / "ready").touch()
    return python


def same_top(vectors: np.ndarray, ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether our neighbors are exact on the grid for 500 objects, and as similar as faiss's."""
    from repic.mining import similarity

    rows = np.linspace(0, len(vectors) - 1, 500).astype(np.int64)
    grid = similarity.on_grid(vectors).astype(np.float64)
    alike = np.rint(grid[rows] @ grid.T * (similarity.UNIT / similarity.GRID**2)).astype(np.int64)
    alike[np.arange(len(rows)), rows] = -similarity.UNIT - 1
    k = ours["index"].shape[1]
    order = np.argsort(-alike, axis=1, kind="stable")[:, :k]
    exact = (order == ours["index"][rows]).all()
    lists = [theirs["index"][row][theirs["index"][row] != row][:k] for row in rows]
    cosine = np.stack([vectors[near] @ vectors[row] for row, near in zip(rows, lists, strict=True)])
    return bool(exact and np.abs(cosine - ours["alike"][rows] / similarity.UNIT).max() < 1e-3)


def same_negatives(vectors: np.ndarray, ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether each object has as similar negatives on both sides."""
    found = []
    for pairs in (ours["pairs"], theirs["pairs"]):
        alike = np.einsum("ij,ij->i", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
        found.append(alike[np.lexsort((alike, pairs[:, 0]))])
    return len(found[0]) == len(found[1]) and np.abs(found[0] - found[1]).max() < 1e-3


def measure(options: argparse.Namespace) -> dict[str, Any]:
    theirs, ours = peers(options.environment), Path(sys.executable)
    result: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data.npz"
        vectors, identity = world(options.objects, options.dim)
        np.savez(data, vectors=vectors, identity=identity)
        peer, mine = run(theirs, "faiss_top", data, 100), run(ours, "our_top", data, 100)
        result["type"] = str(mine["type"])
        result["top k, ours, s"] = float(mine["seconds"])
        result["top k, faiss, s"] = float(peer["seconds"])
        result["top k, of faiss"] = float(mine["seconds"] / peer["seconds"])
        result["top k, equal"] = same_top(vectors, mine, peer)
        result["products, GFLOP/s"] = float(mine["tile_rate"])
        result["products, of the rate of their type"] = float(mine["tile_rate"] / mine["type_rate"])
        vectors, identity = world(*options.negatives)
        np.savez(data, vectors=vectors, identity=identity)
        pair = {
            s: run(p, s, data) for s, p in (("peer_negatives", theirs), ("our_negatives", ours))
        }
        mine, peer = pair["our_negatives"], pair["peer_negatives"]
        result["hard negatives, ours, s"] = float(mine["seconds"])
        result["hard negatives, sentence-transformers, s"] = float(peer["seconds"])
        result["hard negatives, times as fast"] = float(peer["seconds"] / mine["seconds"])
        result["hard negatives, equal"] = bool(same_negatives(vectors, mine, peer))
    return result


def machine() -> str:
    names = Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else ""
    model = [line.split(": ")[1] for line in names.splitlines() if line.startswith("model name")]
    return f"{CORES} x {(model or [platform.machine()])[0]}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of mining beside its peers.")
    parser.add_argument("--objects", type=int, default=30_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument(
        "--negatives", type=int, nargs=2, default=(10_000, 512), metavar=("N", "DIM")
    )
    parser.add_argument("--environment", type=Path, default=Path("build/mining-peers"))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for hidden in ("--side", "--data", "--out"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--top", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side(options)
        return 0
    result = measure(options)
    compare = {"<=": float.__le__, ">=": float.__ge__}
    missed = [
        n for n, (sign, t) in TARGETS.items() if n in result and not compare[sign](result[n], t)
    ]
    missed += [name for name, value in result.items() if value is False]
    if options.json:
        print(json.dumps({**result, "missed": missed}, indent=2))
        return bool(missed)
    for name, value in result.items():
        sign, target = TARGETS.get(name, ("", ""))
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        verdict = f"target {sign} {target}" if sign else ""
        verdict += "  MISSED" if name in missed else ""
        print(f"{name:44} {shown:>12}  {verdict}".rstrip())
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())

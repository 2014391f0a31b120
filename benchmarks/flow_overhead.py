"""What the flow costs over the plain build, on a running Prefect server.

    python benchmarks/flow_overhead.py --photos ../shared/data/dreambooth --repeats 3

Each build is a whole `repic build` in a process of its own, into a fresh store; the two kinds take
turns, and the medians of their wall times count. Both must publish the same content.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flows import server

TARGET = 1.15


def build(photos: str, store: Path, env: dict[str, str], *, flow: bool) -> tuple[float, str]:
    """Wall seconds, and the content hash of what was built."""
    command = [sys.executable, "-m", "repic.cli", "build", "--json"]
    command += ["--images", photos, "--store", str(store), *(["--prefect"] if flow else [])]
    began = time.perf_counter()
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True)
    seconds = time.perf_counter() - began
    return seconds, json.loads(done.stdout)["content"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", default="../shared/data/dreambooth")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {"plain": [], "flow": []}
    contents = set()
    with tempfile.TemporaryDirectory() as folder:
        port = server.free_port()
        url = server.api_url(port)
        prefect = server.start(Path(folder), port)
        try:
            server.await_answer(prefect, url)
            env = {**os.environ, **server.environment(Path(folder), url)}
            for number in range(args.repeats):
                for kind in ("plain", "flow") if number % 2 == 0 else ("flow", "plain"):
                    store = Path(folder) / f"{kind}-{number}"
                    took, content = build(args.photos, store, env, flow=kind == "flow")
                    seconds[kind].append(took)
                    contents.add(content)
                    print(f"{kind:>5} {took:6.2f} s", flush=True)
        finally:
            prefect.stop()
    plain, flow = (statistics.median(seconds[kind]) for kind in ("plain", "flow"))
    print(f"plain {plain:.2f} s, flow {flow:.2f} s, ratio {flow / plain:.3f} (target {TARGET})")
    print("same content" if len(contents) == 1 else f"DIFFERENT content: {sorted(contents)}")
    return 0 if flow / plain <= TARGET and len(contents) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())

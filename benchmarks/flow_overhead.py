"""Overhead of the flow over the plain build, on a running Prefect server.

    python benchmarks/flow_overhead.py --photos ../shared/data/dreambooth --repeats 3

Each build is a complete `repic build` in its own process, into a new store. The two kinds
alternate, and the result compares the medians of their wall times. Both must publish the same
content. On a busy machine also look at CPU times, which other programs hardly change.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from flows.local import server
from flows.local.access import Access, free_port

TARGET = 1.15


@dataclass(frozen=True)
class BuildTime:
    """Seconds of a build, and the content hash of its result."""

    wall: float
    cpu: float
    content: str


def build(photos: str, store: Path, env: dict[str, str], *, flow: bool) -> BuildTime:
    """Run one build; times include the start of its process."""
    command = [sys.executable, "-m", "repic.cli", "build", "--json"]
    command += ["--images", photos, "--store", str(store), *(["--prefect"] if flow else [])]
    began, used = time.perf_counter(), _cpu()
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    content = json.loads(done.stdout)["content"]
    return BuildTime(time.perf_counter() - began, _cpu() - used, content)


def _cpu() -> float:
    """CPU seconds of all finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", default="../shared/data/dreambooth")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    times: dict[str, list[BuildTime]] = {"plain": [], "flow": []}
    with tempfile.TemporaryDirectory() as folder:
        access = Access(free_port())
        prefect = server.start(Path(folder), access)
        try:
            server.wait_until_healthy(prefect, access.url)
            env = {**os.environ, **server.environment(Path(folder), access)}
            for number in range(args.repeats):
                for kind in ("plain", "flow") if number % 2 == 0 else ("flow", "plain"):
                    store = Path(folder) / f"{kind}-{number}"
                    one = build(args.photos, store, env, flow=kind == "flow")
                    times[kind].append(one)
                    print(f"{kind:>5} {one.wall:6.1f} s, CPU {one.cpu:6.1f} s", flush=True)
        finally:
            prefect.stop()
    wall = [statistics.median(one.wall for one in times[kind]) for kind in ("plain", "flow")]
    cpu = [statistics.median(one.cpu for one in times[kind]) for kind in ("plain", "flow")]
    ratio = wall[1] / wall[0]
    print(f"wall: plain {wall[0]:.1f} s, flow {wall[1]:.1f} s, ratio {ratio:.3f} (<= {TARGET})")
    print(f"CPU:  plain {cpu[0]:.1f} s, flow {cpu[1]:.1f} s, ratio {cpu[1] / cpu[0]:.3f}")
    contents = {one.content for every in times.values() for one in every}
    print("same content" if len(contents) == 1 else f"DIFFERENT content: {sorted(contents)}")
    return 0 if ratio <= TARGET and len(contents) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())

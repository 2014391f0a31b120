"""Cost of 1 % more photos relative to the complete build, with `repic build` in its own process.

    python benchmarks/increment.py              # claim: <= 5 % beyond process start

2,000 generated photos are built, then the same with 20 more. `nothing new` is the same command with
nothing to do: it reads the bytes of every photo and loads no model. `models` is what it takes to
load the models of the increment, and libraries that a build needs only if there is something new.
The time of `nothing new` and of `models` is subtracted from the increment only. Boxes and vectors
are those of the sample profile. The same share of processor seconds depends less on what else the
machine does.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

TARGET = 0.05


class Cost(NamedTuple):
    """Wall and processor seconds of a process."""

    wall: float
    processor: float

    def minus(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.processor - other.processor)


def run(command: list[str]) -> tuple[Cost, str]:
    """The cost of a process, and what it printed."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, processor), done.stdout


def built(store: Path, photos: Path, count: int) -> tuple[Cost, dict[str, Any]]:
    """The cost of one build, and its JSON output."""
    changes = {"source.path": photos, "source.count": count, "source.identities": 300}
    options = [f"--set={key}={value}" for key, value in changes.items()]
    command = ["-m", "repic.cli", "build", "--profile=sample", "--json", *options]
    cost, output = run([*command, f"--store={store}"])
    return cost, json.loads(output)


START = "import repic.cli.build, repic.pipeline.execution"
"""What `nothing new` imports as well."""

MODELS = """
import duckdb
from repic import config
from repic.models import detectors as detect, encoder as embed
settings = config.load("sample")
detect.load(settings.detector, settings.runtime)
embed.load(settings.encoder, settings.runtime)
"""


def drawn(photos: Path, count: int) -> None:
    """Render the photos before the clock starts."""
    from repic import config
    from repic.sources import sample

    changes = (f"source.path={photos}", f"source.count={count}", "source.identities=300")
    settings = config.load("sample", changes)
    list(sample.photos(settings.sources[0], settings.splits))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--count", type=int, default=2000, help="photos of the first build (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    more = options.count + options.count // 100
    with tempfile.TemporaryDirectory() as folder:
        store, photos = Path(folder) / "store", Path(folder) / "photos"
        for count in (options.count, more):
            drawn(photos, count)
        full, _ = built(store, photos, options.count)
        nothing, output = built(store, photos, options.count)
        assert not output["published"]
        increment, output = built(store, photos, more)
        assert output["published"]
        models = run(["-c", f"{START}\n{MODELS}"])[0].minus(run(["-c", START])[0])
    beyond_nothing = increment.minus(nothing)
    beyond = beyond_nothing.minus(models)
    share = beyond.wall / full.wall
    costs = {"full": full, "nothing new": nothing, "increment": increment, "models": models}
    figures = {
        **{name: cost.wall for name, cost in costs.items()},
        "inside the increment": output["seconds"],
        "share beyond nothing new": beyond_nothing.wall / full.wall,
        "share beyond process start": share,
        **{f"{name}, processor": cost.processor for name, cost in costs.items()},
        "share, processor": beyond.processor / full.processor,
    }
    for name, value in figures.items():
        print(f"{name:28} {value:8.3f}")
    print(f"processed {output['processed']}")
    print(f"target <= {TARGET}: {'ok' if share <= TARGET else 'MISSED'}")
    if options.json:
        print(json.dumps({"figures": figures, "processed": output["processed"]}))
    return share > TARGET


if __name__ == "__main__":
    sys.exit(main())

"""Cost of 1 % more photos relative to the complete build, with `repic build` in its own process.

    python benchmarks/increment.py              # claim: <= 3 % beyond process start

2,000 generated photos are built, then the same with 20 more. `nothing new` is the same command with
nothing to do: it reads the bytes of every photo and loads no model. `models` is a process that only
imports and loads the models of the increment. The time of `nothing new` and of `models` (without
the start of Python) is subtracted from the increment only. Boxes and vectors are those of the
sample profile.
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

TARGET = 0.03


def built(store: Path, photos: Path, count: int) -> tuple[float, dict[str, Any]]:
    """Wall seconds of one build, and its JSON output."""
    command = [sys.executable, "-m", "repic.cli", "build", "--profile=sample", "--json"]
    changes = {"source.path": photos, "source.count": count, "source.identities": 300}
    command += [f"--set={key}={value}" for key, value in changes.items()]
    start = time.perf_counter()
    done = subprocess.run([*command, f"--store={store}"], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    return seconds, json.loads(done.stdout)


MODELS = """
from repic import config
from repic.models import detectors as detect, encoder as embed
settings = config.load("sample")
detect.load(settings.detector, settings.runtime)
embed.load(settings.encoder, settings.runtime)
"""


def seconds_of(code: str) -> float:
    """Wall seconds of a process that runs this code."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


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
        models = seconds_of(MODELS) - seconds_of("pass")
    beyond_nothing = (increment - nothing) / full
    share = (increment - nothing - models) / full
    figures = {
        "full": full,
        "nothing new": nothing,
        "increment": increment,
        "models": models,
        "inside the increment": output["seconds"],
        "share beyond nothing new": beyond_nothing,
        "share beyond process start": share,
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

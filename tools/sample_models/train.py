"""Train the models that the package carries.

    python -m tools.sample_models.train yolo            # each <= 30 minutes on two free cores
    python -m tools.sample_models.train clip
    python -m tools.sample_models.train vlm-full        # <= 90 minutes
    python -m tools.sample_models.train vlm-base        # <= 10 minutes, from the shipped vlm-full

An interrupted run resumes from its state in the cache folder. Random numbers are seeded: one
machine with one number of threads gives the same weights. `--install` copies the result into
the package, `python benchmarks/sample_quality.py` measures it.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from repic.config import cache_folder
from repic.models import shipped


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.sample_models.train",
        description="Train a model of the generated world.",
    )
    parser.add_argument("model", choices=("clip", "vlm-base", "vlm-full", "yolo"))
    parser.add_argument(
        "--work", type=Path, help="folder for the training state (default: in the cache folder)"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (%(default)s)")
    parser.add_argument("--install", action="store_true", help="copy the result into the package")
    options = parser.parse_args(arguments)
    work = options.work or cache_folder() / "training" / options.model
    work.mkdir(parents=True, exist_ok=True)
    if options.model == "yolo":
        from tools.sample_models import train_yolo

        result = train_yolo.train(work.resolve(), options.threads)
    elif options.model == "vlm-full":
        from tools.sample_models import train_vlm

        result = train_vlm.train(work.resolve(), options.threads)
    elif options.model == "vlm-base":
        from tools.sample_models import train_base

        result = train_base.train(work.resolve(), options.threads)
    else:
        from tools.sample_models import train_clip

        result = train_clip.train(work.resolve(), options.threads)
    print(f"trained {result}")
    if options.install:
        _install(result)


def _install(result: Path) -> None:
    target = shipped.folder() / result.name
    if result.is_dir():
        shutil.copytree(result, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(result, target)
    print(f"installed {target}")


if __name__ == "__main__":
    main()

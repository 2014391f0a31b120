"""How much memory `make demo` takes at its worst moment, and which of its commands takes it.

    python benchmarks/demo_memory.py

Runs the demo into a temporary folder and adds up, twenty times a second, the resident memory of
make and of every process below it. Pages that processes share count for each, so the truth is
rather less. Exit code 1 if it is more than the target.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import psutil

TARGET = 4.0
"""Gigabytes of resident memory."""
PAUSE = 0.05

ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="where the demo goes; by default a new one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary) / "demo").resolve()
        began = time.monotonic()
        demo = subprocess.Popen(["make", "-C", str(ROOT), "demo", f"DEMO={folder}"])
        peaks = watch(demo)
    for command, peak in peaks.items():
        print(f"{command:<16} {peak:5.2f} GB")
    worst = max(peaks.values())
    print(f"{'at most':<16} {worst:5.2f} GB of {TARGET:g}, in {time.monotonic() - began:.0f} s")
    return demo.returncode or int(worst > TARGET)


def watch(demo: subprocess.Popen[bytes]) -> dict[str, float]:
    """Command of the demo -> most gigabytes that all processes had together while it ran."""
    peaks: dict[str, float] = defaultdict(float)
    while demo.poll() is None:
        total, running = 0, "make"
        for process in tree(demo.pid):
            try:
                total += process.memory_info().rss
                running = command_of(process) or running
            except psutil.Error:  # it ended while we look
                continue
        peaks[running] = max(peaks[running], total / 1e9)
        time.sleep(PAUSE)
    return dict(peaks)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def command_of(process: psutil.Process) -> str | None:
    """`repic build` of a process that runs it."""
    words = process.cmdline()
    places = [n for n, word in enumerate(words[:-1]) if Path(word).name == "repic"]
    return f"repic {words[places[0] + 1]}" if places else None


if __name__ == "__main__":
    sys.exit(main())

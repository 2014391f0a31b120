"""Peak memory of `make demo`, per command.

    python benchmarks/demo_memory.py

Runs the demo in a temporary folder and sums the resident memory of make and all its descendants,
twenty times a second. Shared pages count once per process, so the sum is an upper bound. Exit code
1 if it is above the target.
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
    parser.add_argument("--folder", type=Path, help="folder of the demo (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary) / "demo").resolve()
        began = time.monotonic()
        demo = subprocess.Popen(["make", "-C", str(ROOT), "demo", f"DEMO={folder}"])
        peaks = watch(demo)
    for command, peak in peaks.items():
        print(f"{command:<16} {peak:5.2f} GB")
    worst = max(peaks.values())
    print(f"{'peak':<16} {worst:5.2f} GB of {TARGET:g}, in {time.monotonic() - began:.0f} s")
    return demo.returncode or int(worst > TARGET)


def watch(demo: subprocess.Popen[bytes]) -> dict[str, float]:
    """Peak gigabytes of all processes together, per command of the demo."""
    peaks: dict[str, float] = defaultdict(float)
    while demo.poll() is None:
        total, running = 0, "make"
        for process in tree(demo.pid):
            try:
                total += process.memory_info().rss
                running = command_of(process) or running
            except psutil.Error:  # the process has ended
                continue
        peaks[running] = max(peaks[running], total / 1e9)
        time.sleep(PAUSE)
    return dict(peaks)


def tree(pid: int) -> list[psutil.Process]:
    """A process and its descendants."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def command_of(process: psutil.Process) -> str | None:
    """The command of a process, such as `repic build`; None for another program."""
    words = process.cmdline()
    indexes = [n for n, word in enumerate(words[:-1]) if Path(word).name == "repic"]
    return f"repic {words[indexes[0] + 1]}" if indexes else None


if __name__ == "__main__":
    sys.exit(main())

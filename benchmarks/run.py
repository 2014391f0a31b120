"""Run the benchmarks of requirements.yaml and print, per figure, whether it passes.

    python benchmarks/run.py             # a reduced set: about ten minutes on two cores
    python benchmarks/run.py --full      # everything
    python benchmarks/run.py publish     # one of them

A missed limit is printed and does not fail: machines differ. The exit status is 1 if a result is
not exact, or if a script gives no result, so that this is not known.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.yaml"


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Checked):
    """A number of a benchmark, and its limit."""

    what: str
    figure: list[str | int] = Field(min_length=1)
    over: list[str | int] | None = None
    most: float | None = None
    least: float | None = None

    @model_validator(mode="after")
    def _has_one_limit(self) -> Figure:
        if (self.most is None) == (self.least is None):
            raise ValueError(f"{self.what}: give most or least")
        return self

    def value(self, result: Any) -> float:
        """The number in a result. Raises: LookupError, TypeError: it is not there."""
        number = float(_at(result, self.figure))
        return number / float(_at(result, self.over)) if self.over else number

    def line(self, result: Any) -> str:
        """Whether it passes, for people."""
        try:
            value = self.value(result)
        except (LookupError, TypeError, ValueError):
            return f"NOT MEASURED  {self.what}"
        if self.most is not None:
            passes, limit = value <= self.most, f"<= {self.most:g}"
        else:
            passes, limit = value >= (self.least or 0), f">= {self.least:g}"
        return f"{'pass' if passes else 'MISS':12}  {self.what}: {value:.4g} ({limit})"


class Benchmark(_Checked):
    """A script and what it must reach. Its arguments are None if it does not run in that form."""

    script: str = Field(pattern=r"^[a-z_]+\.py$")
    reduced: str | None = None
    full: str | None = None
    exact: dict[str, Any] = {}
    figures: list[Figure]


def load(path: Path) -> list[Benchmark]:
    """The entries of a file of requirements."""
    return [Benchmark.model_validate(e) for e in yaml.safe_load(path.read_text(encoding="utf-8"))]


def run(
    benchmark: Benchmark, form: Literal["reduced", "full"], folder: Path = HERE
) -> Iterator[tuple[bool, str]]:
    """Run a script; lines for people, each with whether it lets the whole fail."""
    arguments = benchmark.reduced if form == "reduced" else benchmark.full
    script = folder / benchmark.script
    if arguments is None or not script.exists():
        why = "not part of this set" if script.exists() else "no such script"
        yield False, f"{'left out':12}  {script.name}: {why}"
        return
    command = [sys.executable, str(script), *shlex.split(arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    result = _last_object(done.stdout)
    if result is None:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        yield True, f"FAILED        {script.name}: exit status {done.returncode}, {said}"
        return
    for key, wanted in benchmark.exact.items():
        found = result.get(key)
        good = found == wanted
        yield not good, f"{'exact' if good else 'NOT EXACT':12}  {script.name}: {key} is {found}"
    for figure in benchmark.figures:
        yield False, figure.line(result)


def _at(result: Any, keys: Sequence[str | int]) -> Any:
    for key in keys:
        result = result[key]
    return result


def _last_object(text: str) -> dict[str, Any] | None:
    """The JSON object that starts on the last line with a brace and ends with the text."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("{")]
    try:
        found = json.loads("\n".join(lines[starts[-1] :])) if starts else None
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def machine() -> str:
    """Cores and processor, since no figure means anything without them."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {(names or [platform.processor() or platform.machine()])[0]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="scripts, without .py; or all")
    parser.add_argument("--full", action="store_true", help="everything, not a reduced set")
    parser.add_argument("--requirements", type=Path, default=REQUIREMENTS, help="%(default)s")
    options = parser.parse_args()
    chosen = load(options.requirements)
    known = {Path(benchmark.script).stem for benchmark in chosen}
    if unknown := sorted(set(options.names) - known):
        parser.error(f"no benchmark {', '.join(unknown)}: there are {', '.join(sorted(known))}")
    print(machine(), flush=True)
    failed = False
    for benchmark in chosen:
        if options.names and Path(benchmark.script).stem not in options.names:
            continue
        start = time.perf_counter()
        form: Literal["reduced", "full"] = "full" if options.full else "reduced"
        for fails, line in run(benchmark, form, options.requirements.parent):
            failed |= fails
            print(line, flush=True)
        print(f"{'':12}  {benchmark.script}: {time.perf_counter() - start:.0f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

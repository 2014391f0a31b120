"""Run the benchmarks of requirements.yaml and print, per figure, whether it passes.

    python benchmarks/run.py             # a reduced set: about ten minutes on two cores
    python benchmarks/run.py --full      # everything
    python benchmarks/run.py publish     # one of them

A missed limit is printed and does not fail: machines differ. The exit status is 1 if a result is
not exact, or if a script gives no result, so that this is not known. A script whose peers cannot be
installed ends with status 77 and says how; it is left out.
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
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.yaml"

SKIPPED = 77
"""Exit status of a script that cannot run here, as of a skipped test in automake."""

LONGEST_S = 900
"""Time that one script of the reduced set may take."""

Form = Literal["reduced", "full"]
Verdict = Literal["exact", "NOT EXACT", "pass", "MISS", "NOT MEASURED", "FAILED", "left out"]
Said = tuple[Verdict, str]

FAILURES: tuple[Verdict, ...] = ("NOT EXACT", "FAILED")
TOLD_AGAIN: tuple[Verdict, ...] = ("NOT EXACT", "FAILED", "MISS", "NOT MEASURED", "left out")


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Checked):
    """A number of a benchmark, and its limit."""

    what: str
    figure: list[str | int] = Field(min_length=1)
    over: list[str | int] | None = None
    most: float | None = None
    least: float | None = None
    full_only: bool = False

    @model_validator(mode="after")
    def _has_one_limit(self) -> Figure:
        if (self.most is None) == (self.least is None):
            raise ValueError(f"{self.what}: give most or least")
        return self

    def value(self, result: Any) -> float:
        """The number in a result. Raises: LookupError, TypeError: it is not there."""
        number = float(_at(result, self.figure))
        return number / float(_at(result, self.over)) if self.over else number

    def verdict(self, result: Any) -> Said:
        """Whether it passes, and its value."""
        try:
            value = self.value(result)
        except (LookupError, TypeError, ValueError):
            return "NOT MEASURED", self.what
        if self.most is not None:
            passes, limit = value <= self.most, f"<= {self.most:g}"
        else:
            passes, limit = value >= (self.least or 0), f">= {self.least:g}"
        return "pass" if passes else "MISS", f"{self.what}: {value:.4g} ({limit})"


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


@dataclass(frozen=True)
class Outcome:
    """What a script gave."""

    script: str
    said: tuple[Said, ...]
    seconds: float


def run(benchmark: Benchmark, form: Form, folder: Path = HERE) -> Outcome:
    """Run a script and print what it gave."""
    start = time.perf_counter()
    said = []
    for verdict, text in _said(benchmark, form, folder):
        print(f"{verdict:12}  {text}", flush=True)
        said.append((verdict, text))
    return Outcome(benchmark.script, tuple(said), time.perf_counter() - start)


def _said(benchmark: Benchmark, form: Form, folder: Path) -> Iterator[Said]:
    arguments = benchmark.reduced if form == "reduced" else benchmark.full
    script = folder / benchmark.script
    if arguments is None or not script.exists():
        why = "not part of this set" if script.exists() else "no such script"
        yield "left out", f"{script.name}: {why}"
        return
    command = [sys.executable, str(script), *shlex.split(arguments)]
    limit = LONGEST_S if form == "reduced" else None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        yield "FAILED", f"{script.name}: no result within {limit} s"
        return
    result = _last_object(done.stdout)
    if result is None:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        if done.returncode == SKIPPED:
            yield "left out", f"{script.name}: {said}"
        else:
            yield "FAILED", f"{script.name}: exit status {done.returncode}, {said}"
        return
    for key, wanted in benchmark.exact.items():
        found = result.get(key)
        exact: Verdict = "exact" if found == wanted else "NOT EXACT"
        yield exact, f"{script.name}: {key} is {found}"
    for figure in benchmark.figures:
        if form == "full" or not figure.full_only:
            yield figure.verdict(result)


def print_summary(outcomes: Sequence[Outcome]) -> None:
    """A row per script, and again what needs a look."""
    print(f"\n{'script':24} {'seconds':>8} {'exact':>6} {'pass':>5} {'miss':>5}")
    for outcome in outcomes:
        count = Counter(verdict for verdict, _ in outcome.said)
        exact = "NO" if any(count[v] for v in FAILURES) else "yes" if count["exact"] else "-"
        print(
            f"{outcome.script:24} {outcome.seconds:8.0f} {exact:>6} {count['pass']:5} "
            f"{count['MISS'] + count['NOT MEASURED']:5}"
        )
    print(f"{'together':24} {sum(outcome.seconds for outcome in outcomes):8.0f}\n")
    for outcome in outcomes:
        for verdict, text in outcome.said:
            if verdict in TOLD_AGAIN:
                print(f"{verdict:12}  {text}")


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
    form: Form = "full" if options.full else "reduced"
    chosen = [b for b in chosen if not options.names or Path(b.script).stem in options.names]
    outcomes = []
    for number, benchmark in enumerate(chosen, 1):
        arguments = (benchmark.full if options.full else benchmark.reduced) or ""
        print(f"[{number}/{len(chosen)}] {benchmark.script} {arguments}".rstrip(), flush=True)
        outcomes.append(run(benchmark, form, options.requirements.parent))
        print(f"{'':12}  {outcomes[-1].seconds:.0f} s", flush=True)
    print_summary(outcomes)
    return int(any(v in FAILURES for outcome in outcomes for v, _ in outcome.said))


if __name__ == "__main__":
    sys.exit(main())

"""Faults that tests of other packages put in; each of their tests counts as its faults.

A test says how many faults it puts in by `record_property("faults", n)`; without it, one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.torture.record import Effort, Record
from tests.torture.world import World

ROOT = Path(__file__).parents[2]


def of_package(world: World, effort: Effort, record: Record, nodes: Sequence[str]) -> None:
    """Run tests in a process of their own and count them."""
    report = world.folder / f"{abs(hash(tuple(nodes)))}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not peers", f"--junitxml={report}"]
    command += ["-p", "no:cacheprovider", *nodes]
    requests = effort.times(1_500, 10_000)
    environment = {**os.environ, "REPIC_FUZZED_REQUESTS": str(requests)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    if not cases:
        record.count(
            " ".join(nodes), [f"no test has run: {done.stdout[-600:]} {done.stderr[-300:]}"]
        )
    for case in cases:
        _count(case, record)


def _count(case: ElementTree.Element, record: Record) -> None:
    name = f"{case.get('classname')}.{case.get('name')}"
    bad = [child for child in case if child.tag in ("failure", "error")]
    if bad:
        message = " ".join((bad[0].get("message") or bad[0].text or "").split())
        record.count(name, [message[-500:]])
    elif any(child.tag == "skipped" for child in case):
        record.skipped = f"{name} was skipped"
    else:
        found = case.find("properties/property[@name='faults']")
        record.survived += int(found.get("value", "1")) if found is not None else 1

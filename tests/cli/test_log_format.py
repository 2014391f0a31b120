"""`--log-format json`: an object a line on standard error, with run, stage and shard."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repic.pipeline import log_lines
from tests.builds import PROGRAM

SMALL = (
    *("--profile", "sample", "--set", "source.count=12", "--set", "source.identities=4"),
    *("--set", "runtime.shard_rows=4", "--set", "runtime.threads=1"),
)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_a_build_says_run_stage_and_shard(tmp_path: Path) -> None:
    command = [*PROGRAM, "--log-format", "json", "build", *SMALL, "--store", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "Published dataset@v1" in done.stdout
    found = lines(done.stderr)
    assert len({line["run"] for line in found}) == 1
    assert all(line["time"] and line["level"] and line["message"] for line in found)
    places = [line["shard"] for line in found if line.get("stage") == "detections"]
    total = len(places)
    assert total > 1
    assert places == [f"{number}/{total}" for number in range(1, total + 1)]
    rows = [line["rows"] for line in found if line.get("stage") == "detections"]
    assert sum(rows) == 12


def test_an_error_is_a_line_too(tmp_path: Path) -> None:
    env = {**os.environ, log_lines.VARIABLE: "json"}
    command = [*PROGRAM, "status", "--store", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
    assert done.returncode == 2
    [line] = lines(done.stderr)
    assert line["level"] == "error"
    assert "There is no store" in line["message"]


def test_an_unknown_format_is_refused() -> None:
    command = [*PROGRAM, "--log-format", "xml", "status"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert "--log-format" in done.stderr


def test_prefect_writes_the_same_lines() -> None:
    program = (
        "import logging; from prefect.logging.configuration import setup_logging; setup_logging(); "
        "logging.getLogger('prefect.task_runs').warning('two\\nlines %d', 2, "
        "extra={'task_run_name': 'detections 3/12', 'flow_run_id': 'f', 'flow_run_name': 'n'})"
    )
    env = {**os.environ, **log_lines.PREFECT, "PREFECT_LOGGING_TO_API_ENABLED": "false"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
    [line] = lines(done.stderr)
    assert line["message"] == "two\nlines 2"
    assert (line["run"], line["flow_run"]) == ("f", "n")
    assert (line["stage"], line["shard"]) == ("detections", "3/12")


def test_an_error_has_its_traceback() -> None:
    try:
        raise ValueError("wrong")
    except ValueError:
        record = logging.LogRecord("repic", 40, __file__, 1, "%s", ("failed",), sys.exc_info())
    [line] = lines(log_lines.JsonLines().format(record))
    assert line["error"].endswith("ValueError: wrong")
    assert "stage" not in line

"""docs/reward-workers.md: every code block runs against a real worker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rewards.server.workers import worker

PAGE = (Path(__file__).parents[3] / "docs" / "reward-workers.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.S)
BASH = re.findall(r"```bash\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    folder = os.path.dirname(sys.executable)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    with worker(token="abc") as url:
        yield {**os.environ, "REPIC_REWARD_URL": url, "REPIC_REWARD_TOKEN": "abc", "PATH": path}


def test_the_page_has_blocks() -> None:
    assert (len(PYTHON), len(BASH)) == (4, 3)


@pytest.mark.parametrize("index", range(len(PYTHON)))
def test_python_runs(index: int, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PYTHON[index]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("index", range(len(BASH)))
def test_bash_runs(index: int, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euc", BASH[index]], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

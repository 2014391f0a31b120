"""The short form of `make torture`."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.timeout(2400)
def test_nothing_is_lost_after_a_few_faults_of_each_kind() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", "--short"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    assert "SIGKILL of build" in done.stdout
